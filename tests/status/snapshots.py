"""Builds snapshots of the status for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aiohttp import web

from exporter.model import Bucket, BucketState, Instant, PollResult, Timing
from exporter.polling.targets import appended
from exporter.status.pages import add_status_routes
from exporter.status.snapshot import AccountStatus, BucketStatus, ConfigStatus, Process, Snapshot
from exporter.status.state import RankedBucket, Totals
from exporter.web.limits import ConcurrencyLimit
from tests.harness.fakes import NOON, after, reading

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
    config=ConfigStatus(NOON - 60),
)


def history_of(*outcomes: PollResult) -> bytes:
    """The poll history of a bucket whose polls had these results."""
    state, history = BucketState(START), b""
    for outcome in outcomes:
        state = state.after(outcome, Timing())
        history = appended(history, state)
    return history


ONE_GOOD_POLL = history_of(reading(after(START, -60)))


def bucket_status(
    bucket: Bucket, state: BucketState, *, history: bytes = ONE_GOOD_POLL
) -> BucketStatus:
    """A bucket with this state, whose next poll is due 30 s after START."""
    return BucketStatus(bucket, Timing(), state, START.monotonic + 30, history=history)


@dataclass(slots=True)
class FixedSnapshot:
    """A source of snapshots with fixed content."""

    buckets: tuple[BucketStatus, ...] = ()
    now: Instant = START
    process: Process = PROCESS
    accounts: tuple[AccountStatus, ...] = (AccountStatus("main"),)

    def take(self) -> Snapshot:
        return Snapshot(self.now, self.process, self.accounts, self.buckets)

    def add_routes(self, app: web.Application, limit: ConcurrencyLimit, path: str) -> None:
        add_status_routes(app, limit, path, take_snapshot=self.take)

    def later(self, seconds: float) -> FixedSnapshot:
        """The same content some seconds later."""
        return replace(self, now=after(self.now, seconds))


def ranked(status: BucketStatus, now: Instant = START) -> RankedBucket:
    """A bucket with its rank among the buckets."""
    return Totals().add(status, now.monotonic)
