"""Records requests and responses, for tests that compare them with the exporter's metrics.

Only the newest requests, stats responses and tokens are kept. Counters are never reset.
"""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from exporter.simulator.calls import CallKind, IssuedTokens
from exporter.simulator.world import Row

Identity: TypeAlias = tuple[object, object]
"""(ip, host) as sent; None if the row lacks it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of any kind."""

    at: float  # Unix time, simulated
    method: str
    raw_path: str  # percent-encoded, with the query
    authorization: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Served:
    """A 200 response with rows that was sent completely."""

    at: float  # Unix time, simulated
    bucket: str
    day: date
    rows: tuple[Row, ...]  # as sent

    def by_identity(self) -> dict[Identity, Row]:
        """The rows by (ip, host); the last one of duplicates."""
        return {(row.get("ip"), row.get("host")): row for row in self.rows}


class Recorder:
    """The newest `keep` requests, stats responses and issued tokens, and counters of all calls.

    `calls` counts stats calls by bucket, `calls_by_kind` counts all calls, both including those
    that were refused or got no response. `answers` counts stats responses by HTTP status,
    `answers_by_kind` counts all responses by kind and status, both only those that were sent
    completely. `max_concurrent` is the maximum of concurrent calls of each kind.
    """

    def __init__(self, keep: int) -> None:
        self.asked: deque[Asked] = deque(maxlen=keep)
        self.served: deque[Served] = deque(maxlen=keep)
        self.issued: deque[IssuedTokens] = deque(maxlen=keep)
        self.calls: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.calls_by_kind: Counter[CallKind] = Counter()
        self.answers_by_kind: Counter[tuple[CallKind, int]] = Counter()
        self.max_concurrent: Counter[CallKind] = Counter()
        self._at_once: Counter[CallKind] = Counter()
        self._numbers: Counter[tuple[CallKind, str]] = Counter()

    def count_call(self, kind: CallKind, subject: str) -> int:
        """Count a call for a bucket or a user; returns how many of its kind came before it."""
        number = self._numbers[kind, subject]
        self._numbers[kind, subject] += 1
        self.calls_by_kind[kind] += 1
        if kind is CallKind.STATS:
            self.calls[subject] += 1
        return number

    def count_answer(self, kind: CallKind, status: int) -> None:
        self.answers_by_kind[kind, status] += 1
        if kind is CallKind.STATS:
            self.answers[status] += 1

    @contextmanager
    def in_flight(self, kind: CallKind) -> Iterator[None]:
        """Count a call as open while the body runs."""
        self._at_once[kind] += 1
        self.max_concurrent[kind] = max(self.max_concurrent[kind], self._at_once[kind])
        try:
            yield
        finally:
            self._at_once[kind] -= 1

    def served_to(self, bucket: str, day: date | None = None) -> list[Served]:
        """The responses for a bucket (and a day), oldest first."""
        return [
            served
            for served in self.served
            if served.bucket == bucket and day in {None, served.day}
        ]

    def newest(self, bucket: str, day: date | None = None) -> Served | None:
        return next(reversed(self.served_to(bucket, day)), None)

    def sent(self, bucket: str, identity: Identity, field: str) -> list[object]:
        """Each value of a node's field in the responses, oldest first."""
        rows = (served.by_identity().get(identity, {}) for served in self.served_to(bucket))
        return [row[field] for row in rows if field in row]
