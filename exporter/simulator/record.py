"""What the simulator was asked and what it served, for tests that compare it with an exposition.

Bounded: of requests and of stats answers only the newest are kept; counters go on for ever. No
decision is made here.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import date

    from exporter.simulator.world import Row

Identity: TypeAlias = tuple[object, object]
"""(ip, host) as sent; None for what a row does not say."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of any kind, as it came in."""

    at: float  # Unix time, simulated
    method: str
    raw_path: str  # percent-encoded, with the query
    authorization: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Served:
    """A stats answer with 200 and rows that was handed over whole."""

    at: float  # Unix time, simulated
    bucket: str
    day: date
    rows: tuple[Row, ...]  # as sent

    def by_identity(self) -> dict[Identity, Row]:
        """The rows by (ip, host); of several under one identity, the last."""
        return {(row.get("ip"), row.get("host")): row for row in self.rows}


class Record:
    """The newest `keep` requests and answers, and counters of all.

    `calls` counts stats requests by bucket, also refused and unanswered ones; `answers` counts
    stats answers handed over whole by HTTP status: what was dropped, cut or left hanging is in
    the first alone.
    """

    def __init__(self, keep: int) -> None:
        self.asked: deque[Asked] = deque(maxlen=keep)
        self.served: deque[Served] = deque(maxlen=keep)
        self.calls: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()

    def served_to(self, bucket: str, day: date | None = None) -> list[Served]:
        """What was served for a bucket (and a day), oldest first."""
        return [
            served
            for served in self.served
            if served.bucket == bucket and day in {None, served.day}
        ]

    def newest(self, bucket: str, day: date | None = None) -> Served | None:
        """What was served for a bucket (and a day) last."""
        return next(reversed(self.served_to(bucket, day)), None)

    def sent(self, bucket: str, identity: Identity, field: str) -> list[object]:
        """Each value that a node's field had in what was served, oldest first."""
        rows = (served.by_identity().get(identity, {}) for served in self.served_to(bucket))
        return [row[field] for row in rows if field in row]
