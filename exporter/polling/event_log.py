"""Logs changes of state of buckets and discovery: each change once.

The number of lines about buckets is limited per minute, so that the log stays readable in a large
outage. Lines over the limit are counted. The metrics still show every change.
"""

from __future__ import annotations

from datetime import date

import structlog

from exporter.clock import Clock
from exporter.logs import PERIOD, LineLimit
from exporter.model import ApiError, Bucket, BucketState, FailedPoll
from exporter.upstream.discovery import DiscoveryState

LINES_PER_PERIOD = 100

SKIPPED = "they have no id, or an id that is not valid in a URL or a label"

_log = structlog.get_logger()


class EventLogger:
    """Logs changes of state at a limited rate."""

    def __init__(self, clock: Clock) -> None:
        self._limit = LineLimit(clock, LINES_PER_PERIOD, self._warn, self._sum_up)

    def log_transition(self, bucket: Bucket, before: BucketState, after: BucketState) -> None:
        """Log that a bucket started to fail, fails for another reason, or recovered."""
        was, now = before.failing(fresh=True), after.failing(fresh=True)
        if was == now or not self._limit.has_room():
            return
        names = {"bucket_id": bucket.id, "name": bucket.name, "account": bucket.account}
        if isinstance(after.newest, FailedPoll):
            error = after.newest.error
            facts = {"reason": error.reason.value, "message": error.message}
            _log.warning("bucket_failing", **names, **facts)
        else:
            _log.info("bucket_recovered", **names)

    def log_missing_day(self, bucket: Bucket, day: date, error: ApiError) -> None:
        """Log that the request for a previous day failed; it will be retried."""
        if self._limit.has_room():
            names = {"bucket_id": bucket.id, "name": bucket.name, "account": bucket.account}
            facts = {"day": str(day), "reason": error.reason.value, "message": error.message}
            _log.warning("previous_day_missing", **names, **facts)

    @staticmethod
    def _warn() -> None:
        _log.warning("bucket_events_are_left_out", seconds=PERIOD, see="flashback_bucket_failing")

    @staticmethod
    def _sum_up(count: int) -> None:
        _log.warning("bucket_events_left_out", count=count)


def log_discovery(
    account: str, before: DiscoveryState, after: DiscoveryState, filtered: int
) -> None:
    """Log that discovery started to fail, fails for another reason, recovered, or found changes."""
    was = None if before.error is None else before.error.reason
    if after.error is not None and after.error.reason is not was:
        error = after.error
        facts = {"account": account, "reason": error.reason.value, "message": error.message}
        _log.warning("discovery_failing", **facts)
    if after.error is None and was is not None:
        _log.info("discovery_recovered", account=account)
    if after.skipped and not before.skipped:
        _log.warning("listing_entries_skipped", account=account, count=after.skipped, why=SKIPPED)
    if after.found != before.found:
        counts = {"found": len(after.found), "before": len(before.found), "polled": filtered}
        _log.info("buckets_discovered", account=account, **counts)
