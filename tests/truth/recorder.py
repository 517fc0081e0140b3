"""Records what the simulator sends, indexed by bucket and with monotonic times.

The simulator's own recorder keeps a plain list, which would have to be searched each time.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cached_property
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias

from exporter import simulator
from exporter.simulator import CallKind, IssuedTokens, Served
from exporter.simulator.delivery import ResponseWriter
from tests.truth.clock import JumpingClock
from tests.truth.facts import Fact, Facts, Row, clean, facts

ANSWERS_KEPT = 1800
"""Per bucket: more than a day's worth, because a previous day is shown that long."""

LONGEST_ANSWER, LONGEST_PACKED = 2**20, 50_000
"""Bytes as sent. Longer bodies are faults, and not parsed here."""

Span: TypeAlias = tuple[float, float]


class SentAnswer:
    """A response with nodes that was sent completely."""

    def __init__(self, at: float, day: date, rows: Iterable[Row]) -> None:
        self.at = at  # monotonic seconds
        self.day = day
        self._rows = tuple(rows)
        self._shown: dict[tuple[str, ...], frozenset[Fact]] = {}

    def shown(self, known_statuses: tuple[str, ...]) -> frozenset[Fact]:
        """The facts as the exporter should show them."""
        if known_statuses not in self._shown:
            self._shown[known_statuses] = self.facts.shown(known_statuses)
        return self._shown[known_statuses]

    @cached_property
    def facts(self) -> Facts:
        """The facts as sent."""
        return facts(self._rows)


class ListedBucket(NamedTuple):
    """A bucket in a list response."""

    id: str
    name: str
    storage_type: str
    region: str
    workspace_id: str


class ListResponse(NamedTuple):
    """A list response that was sent completely."""

    at: float  # monotonic seconds
    entries: tuple[ListedBucket, ...]


class AnswerRecorder(simulator.Recorder):
    """A recorder with monotonic times and an index by bucket."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(keep=1000)
        self._monotonic = monotonic
        self.served = _Forwarding(self._serve)
        self.issued = _Forwarding(self._issue)
        self.asked_at: dict[str, float] = {}
        self.codes: dict[str, dict[int, float]] = defaultdict(dict)
        """When a status was last sent, by bucket for stats and by kind for other calls."""
        self.expiries: set[float] = set()
        self.access_tokens: set[str] = set()
        self._recorded: str | None = None  # the bucket whose response was just recorded
        self.listings: list[ListResponse] = []
        self.statuses: Counter[int] = Counter()
        self._answers_of: dict[str, deque[SentAnswer]] = defaultdict(
            lambda: deque(maxlen=ANSWERS_KEPT)
        )

    def count_call(self, kind: CallKind, subject: str) -> int:
        """Also note when a bucket was requested."""
        if kind is CallKind.STATS:
            self.asked_at[subject] = self._monotonic()
        return super().count_call(kind, subject)

    def answers_for(self, bucket: str, span: Span) -> list[SentAnswer]:
        """The responses for a bucket that were sent within a span of time, newest first."""
        kept = list(self._answers_of[bucket])
        times = [each.at for each in kept]
        return kept[bisect_left(times, span[0]) : bisect_right(times, span[1])][::-1]

    def remembers(self, bucket: str, moment: float) -> bool:
        """Whether all responses since `moment` are still recorded."""
        kept = self._answers_of[bucket]
        return len(kept) < ANSWERS_KEPT or kept[0].at < moment

    def was_sent(self, key: str, codes: Iterable[int], since: float) -> bool:
        """Whether one of these statuses was sent for a bucket, or a kind of call, since then."""
        return any(self.codes[key].get(code, -1.0) >= since for code in codes)

    def note_status(self, key: str, status: int) -> bool:
        """Note the status of a response that is about to be sent.

        Returns whether the simulator's own recorder has its content.
        """
        self.codes[key][status] = self._monotonic()
        self.statuses[status] += 1
        recorded, self._recorded = self._recorded, None
        return recorded == key

    def note_rows(self, bucket: str, day: date, answer: Mapping[str, object]) -> None:
        """Note the rows of a response with a wrong structure that still contains rows."""
        rows = answer.get("nodeStats")
        if isinstance(rows, list) and answer.get("success") is not False:
            usable = (row for row in rows if isinstance(row, dict))
            self._answers_of[bucket].append(SentAnswer(self._monotonic(), day, usable))

    def note_listing(self, answer: Mapping[str, object]) -> None:
        entries = _entries(answer)
        if entries is not None:
            self.listings.append(ListResponse(self._monotonic(), entries))

    def _serve(self, served: Served) -> None:
        self._recorded = served.bucket
        sent = SentAnswer(self._monotonic(), served.day, served.rows)
        self._answers_of[served.bucket].append(sent)

    def _issue(self, grant: IssuedTokens) -> None:
        self.expiries.add(float(grant.expires_at))
        self.access_tokens.add(grant.access_token)


class RecordedSimulator(simulator.Simulator):
    """A simulator that records what it sends."""

    def __init__(self, clock: JumpingClock, **settings: Any) -> None:  # noqa: ANN401 - the simulator's
        super().__init__(now=clock.wall, sleep=clock.sleep, **settings)
        self.recorder = AnswerRecorder(clock.monotonic)
        self.record = self.recorder

    async def answer(
        self,
        kind: CallKind,
        connection: ResponseWriter,
        *,
        bucket: str = "",
        **request: Any,  # noqa: ANN401 - as it is
    ) -> None:
        """Respond as the simulator does, and record the response."""
        noting = _Noting(connection, self.recorder, kind, bucket, _day(request["body"]))
        await super().answer(kind, noting, bucket=bucket, **request)


class _Noting:
    """A connection that records what is sent, if the body is sent in one piece."""

    def __init__(
        self,
        connection: ResponseWriter,
        recorder: AnswerRecorder,
        kind: CallKind,
        bucket: str,
        day: date | None,
    ) -> None:
        self._connection = connection
        self._recorder = recorder
        self._kind = kind
        self._bucket = bucket
        self._day = day
        self._headers: Mapping[str, str] = {}
        self._left = -1  # bytes; negative: nothing to record
        self.close = connection.close
        self.write_raw = connection.write_raw

    async def start(self, status: int, headers: Mapping[str, str], length: int) -> None:
        """Record the status."""
        recorded = self._recorder.note_status(self._bucket or self._kind.value, status)
        if status == HTTPStatus.OK and not recorded:
            self._headers, self._left = headers, length
        await self._connection.start(status, headers, length)

    async def write(self, data: bytes) -> None:
        """Record the body if it is complete."""
        if len(data) == self._left:
            answer = _answer(data, is_gzip=self._headers.get("Content-Encoding") == "gzip")
            if self._kind is CallKind.LIST:
                self._recorder.note_listing(answer)
            elif self._day is not None:
                self._recorder.note_rows(self._bucket, self._day, answer)
        self._left = -1
        await self._connection.write(data)


class _Forwarding(deque[Any]):
    """Replaces a deque of the recorder: passes each item on, and keeps none."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        super().__init__(maxlen=0)
        self._take = take

    def append(self, item: Any, /) -> None:  # noqa: ANN401 - any item of the recorder
        self._take(item)


def _day(body: bytes) -> date | None:
    """The day in a stats request."""
    try:
        return date.fromisoformat(json.loads(body)["day"][:10])
    except (ValueError, LookupError):
        return None


def _answer(body: bytes, *, is_gzip: bool) -> dict[str, object]:
    """The JSON object in a body; empty if it is not one."""
    if len(body) > (LONGEST_PACKED if is_gzip else LONGEST_ANSWER):
        return {}
    try:
        answer = json.loads(gzip.decompress(body) if is_gzip else body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _entries(answer: Mapping[str, object]) -> tuple[ListedBucket, ...] | None:
    """The usable buckets in a list response, each id once; None if it is not a valid list."""
    entries = answer.get("buckets")
    if not isinstance(entries, list) or answer.get("success") is False:
        return None
    found: dict[str, ListedBucket] = {}
    for each in entries:
        name = each.get("id") if isinstance(each, dict) else None
        if isinstance(name, str) and name == clean(name) and name not in {"", ".", ".."}:
            found.setdefault(name, _entry(name, each))
    return tuple(found.values())


def _entry(bucket: str, fields: dict[str, object]) -> ListedBucket:
    texts = [
        clean(value) if isinstance(value := fields.get(key), str) else ""
        for key in ("name", "storageType", "region", "workspaceId")
    ]
    return ListedBucket(bucket, texts[0] or bucket, *texts[1:])
