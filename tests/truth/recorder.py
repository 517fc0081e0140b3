"""What the simulator really did, indexed while it happens and stamped by the monotonic clock.

The simulator's own record can be asked for anything, but only by going through all of it.
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
"""Of a bucket: more than a simulated day, for as long as a previous day is shown."""

LONGEST_ANSWER, LONGEST_PACKED = 2**20, 50_000
"""Bytes as sent; what is longer is a bomb or a nuisance, and not understood here."""

Span: TypeAlias = tuple[float, float]


class SentAnswer:
    """An answer with nodes that left the simulator as a whole."""

    def __init__(self, at: float, day: date, rows: Iterable[Row]) -> None:
        self.at = at  # monotonic
        self.day = day
        self._rows = tuple(rows)
        self._shown: dict[tuple[str, ...], frozenset[Fact]] = {}

    def shown(self, known_statuses: tuple[str, ...]) -> frozenset[Fact]:
        """What is to be exposed of it."""
        if known_statuses not in self._shown:
            self._shown[known_statuses] = self.facts.shown(known_statuses)
        return self._shown[known_statuses]

    @cached_property
    def facts(self) -> Facts:
        """What it says."""
        return facts(self._rows)


class ListedBucket(NamedTuple):
    """A bucket in a listing."""

    id: str
    name: str
    storage_type: str
    region: str
    workspace_id: str


class Listing(NamedTuple):
    """A list of buckets that left the simulator as a whole."""

    at: float  # monotonic
    entries: tuple[ListedBucket, ...]


class AnswerRecorder(simulator.Recorder):
    """A record that remembers when, and finds what happened to a bucket at once."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(keep=1000)
        self._monotonic = monotonic
        self.served = _Forwarding(self._serve)
        self.issued = _Forwarding(self._issue)
        self.asked_at: dict[str, float] = {}
        self.codes: dict[str, dict[int, float]] = defaultdict(dict)
        """When a status was last sent for a bucket, or for a call of another kind."""
        self.expiries: set[float] = set()
        self.access_tokens: set[str] = set()
        self._recorded: str | None = None  # the bucket whose answer was just recorded
        self.listings: list[Listing] = []
        self.statuses: Counter[int] = Counter()
        self._answers_of: dict[str, deque[SentAnswer]] = defaultdict(
            lambda: deque(maxlen=ANSWERS_KEPT)
        )

    def count_call(self, kind: CallKind, subject: str) -> int:
        """Note when a bucket was asked for."""
        if kind is CallKind.STATS:
            self.asked_at[subject] = self._monotonic()
        return super().count_call(kind, subject)

    def answers_for(self, bucket: str, span: Span) -> list[SentAnswer]:
        """The answers for a bucket that were sent in a span of time, newest first."""
        kept = list(self._answers_of[bucket])
        times = [each.at for each in kept]
        return kept[bisect_left(times, span[0]) : bisect_right(times, span[1])][::-1]

    def remembers(self, bucket: str, moment: float) -> bool:
        """Whether no answer since then was dropped from here."""
        kept = self._answers_of[bucket]
        return len(kept) < ANSWERS_KEPT or kept[0].at < moment

    def was_sent(self, key: str, codes: Iterable[int], since: float) -> bool:
        """Whether one of these statuses was sent for a bucket, or a kind of call, since then."""
        return any(self.codes[key].get(code, -1.0) >= since for code in codes)

    def note_status(self, key: str, status: int) -> bool:
        """Note that an answer about a bucket, or of a kind of call, begins to leave.

        Whether the simulator itself has recorded what it says.
        """
        self.codes[key][status] = self._monotonic()
        self.statuses[status] += 1
        recorded, self._recorded = self._recorded, None
        return recorded == key

    def note_rows(self, bucket: str, day: date, answer: Mapping[str, object]) -> None:
        """Note the rows of an answer of a shape that is wrong, and yet has rows in it."""
        rows = answer.get("nodeStats")
        if isinstance(rows, list) and answer.get("success") is not False:
            usable = (row for row in rows if isinstance(row, dict))
            self._answers_of[bucket].append(SentAnswer(self._monotonic(), day, usable))

    def note_listing(self, answer: Mapping[str, object]) -> None:
        entries = _entries(answer)
        if entries is not None:
            self.listings.append(Listing(self._monotonic(), entries))

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
        """Answer as ever, noting what leaves."""
        noting = _Noting(connection, self.recorder, kind, bucket, _day(request["body"]))
        await super().answer(kind, noting, bucket=bucket, **request)


class _Noting:
    """A connection on which it is noted what is sent: all of it, where that is at once."""

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
        self._left = -1  # bytes; negative where there is nothing to be noted
        self.close = connection.close
        self.write_raw = connection.write_raw

    async def start(self, status: int, headers: Mapping[str, str], length: int) -> None:
        """Note the status."""
        recorded = self._recorder.note_status(self._bucket or self._kind.value, status)
        if status == HTTPStatus.OK and not recorded:
            self._headers, self._left = headers, length
        await self._connection.start(status, headers, length)

    async def write(self, data: bytes) -> None:
        """Note the body, where this is all of it."""
        if len(data) == self._left:
            answer = _answer(data, is_gzip=self._headers.get("Content-Encoding") == "gzip")
            if self._kind is CallKind.LIST:
                self._recorder.note_listing(answer)
            elif self._day is not None:
                self._recorder.note_rows(self._bucket, self._day, answer)
        self._left = -1
        await self._connection.write(data)


class _Forwarding(deque[Any]):
    """Stands where the record would keep items: hands each on, and keeps none."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        super().__init__(maxlen=0)
        self._take = take

    def append(self, item: Any, /) -> None:  # noqa: ANN401 - whatever the record keeps there
        self._take(item)


def _day(body: bytes) -> date | None:
    """The day that a request asks for."""
    try:
        return date.fromisoformat(json.loads(body)["day"][:10])
    except (ValueError, LookupError):
        return None


def _answer(body: bytes, *, is_gzip: bool) -> dict[str, object]:
    """The JSON object in a body; an empty one where there is none."""
    if len(body) > (LONGEST_PACKED if is_gzip else LONGEST_ANSWER):
        return {}
    try:
        answer = json.loads(gzip.decompress(body) if is_gzip else body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _entries(answer: Mapping[str, object]) -> tuple[ListedBucket, ...] | None:
    """The usable buckets in a listing as sent, each id once; None where it is no listing."""
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
