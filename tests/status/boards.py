"""A board with facts of a test's choosing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from exporter.model import Bucket, BucketKey, BucketState, Instant, Timing
from exporter.polling.history import PollRecord
from exporter.status.facts import AccountStatus, ConfigState, NextPoll, Process
from exporter.status.state import RankedBucket, Totals
from tests.fakes import NOON

START = Instant(NOON, 1000.0)
STATUSES = ("ONLINE", "OFFLINE", "DISCONNECTED")
PROCESS = Process(
    version="1.2.3",
    is_healthy=True,
    is_ready=True,
    lag=0.0,
    shard_ordinal=0,
    shard_total=1,
    known_statuses=STATUSES,
    config=ConfigState(NOON - 60),
)
POLLS = (PollRecord(int(NOON) - 60, None, 0, 0.25),)


@dataclass(frozen=True, slots=True)
class HeldBucket:
    """A bucket with a state."""

    bucket: Bucket
    state: BucketState
    timing: Timing = Timing()  # noqa: RUF009 - it is immutable


@dataclass(slots=True)
class FixedBoard:
    """Says what it was given."""

    held: tuple[HeldBucket, ...] = ()
    moment: Instant = START
    about: Process = PROCESS
    known_accounts: tuple[AccountStatus, ...] = (AccountStatus("main"),)
    planned: dict[BucketKey, NextPoll] = field(default_factory=dict)
    past: tuple[PollRecord, ...] = POLLS

    def now(self) -> Instant:
        return self.moment

    def process(self) -> Process:
        return self.about

    def accounts(self) -> tuple[AccountStatus, ...]:
        return self.known_accounts

    def buckets(self) -> tuple[HeldBucket, ...]:
        return self.held

    def next_polls(self, keys: Collection[BucketKey]) -> dict[BucketKey, NextPoll]:
        default = NextPoll(self.moment.wall + 30)
        return {key: self.planned.get(key, default) for key in keys}

    def polls(self, key: BucketKey) -> tuple[PollRecord, ...]:
        return self.past

    def later(self, seconds: float) -> FixedBoard:
        """The same some time later."""
        now = Instant(self.moment.wall + seconds, self.moment.monotonic + seconds)
        return replace(self, moment=now)


def ranked(held: HeldBucket, now: Instant = START) -> RankedBucket:
    """A bucket in its place."""
    return Totals().place(held, now.monotonic)
