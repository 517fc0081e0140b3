"""Counts, filters and sorts all buckets of a snapshot; makes the headline and the notices.

It does no I/O, and works in slices, so that callers can let other tasks run in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exporter.model import Instant
from exporter.status.filters import Filter
from exporter.status.snapshot import AccountStatus, BucketStatus, Process, Snapshot
from exporter.status.state import Health, RankedBucket, Totals, worst_first
from exporter.status.text import REDUCE_REQUESTS, counted, relative, span, utc
from exporter.status.view import BucketView, bucket_view

SLICE = 250
"""Buckets processed at a time: one or two milliseconds of work."""


class Summary:
    """Goes through all buckets of a snapshot once."""

    def __init__(self, snapshot: Snapshot, chosen: Filter) -> None:
        self.snapshot = snapshot
        self._chosen = chosen
        self.totals = Totals()
        """Totals over all buckets, whether they match the filter or not."""
        self.matches: list[RankedBucket] = []
        """The buckets that match the filter; sorted, the worst first, once all steps are done."""

    def steps(self) -> Iterator[None]:
        """Do the work. Each step processes a slice."""
        buckets = self.snapshot.buckets
        for first in range(0, len(buckets), SLICE):
            self._add(buckets[first : first + SLICE])
            yield
        self.matches = worst_first(self.matches)
        yield

    def _add(self, buckets: Sequence[BucketStatus]) -> None:
        monotonic = self.snapshot.now.monotonic
        statuses = self.snapshot.process.known_statuses
        for each in buckets:
            ranked = self.totals.add(each, monotonic)
            if self._chosen.matches(ranked, monotonic, statuses):
                self.matches.append(ranked)

    def views(self, ranked: Sequence[RankedBucket]) -> Iterator[BucketView]:
        """The views of these buckets, made one by one."""
        for each in ranked:
            yield bucket_view(each, self.snapshot)


@dataclass(frozen=True, slots=True)
class Headline:
    """The state of all buckets in one sentence."""

    text: str
    short: str  # for the window title
    health: Health


def headline(totals: Totals) -> Headline:
    """The headline for the worst state of any bucket."""
    failing, pending = totals.by_health[Health.FAILING], totals.by_health[Health.PENDING]
    buckets = counted(totals.buckets, "bucket")
    if not totals.buckets:
        return Headline("No buckets are polled", "no buckets", Health.PENDING)
    if failing:
        verb = "is" if failing == 1 else "are"
        text = f"{failing:,} of {buckets} {verb} failing"
        return Headline(text, f"{failing:,} failing", Health.FAILING)
    if pending:
        verb = "is" if pending == 1 else "are"
        text = f"{pending:,} of {buckets} {verb} waiting for the first poll"
        return Headline(text, f"{pending:,} pending", Health.PENDING)
    if totals.not_online:
        nodes = counted(totals.nodes, "node")
        text = f"All buckets are up, {totals.not_online:,} of {nodes} not online"
        return Headline(text, f"{totals.not_online:,} not online", Health.DEGRADED)
    text = "The bucket is up" if totals.buckets == 1 else f"All {buckets} are up"
    return Headline(text, "all up", Health.UP)


MAX_ACCOUNT_NOTICES = 5
"""Notices about accounts to show; more are only counted."""

LAG_NOTICE_SECONDS = 60.0
"""Seconds of lag from which there is a notice."""


class Notice(NamedTuple):
    """A problem that users should know about, and its remedy."""

    text: str
    remedy: str
    detail: str = ""  # the original error text


def notices(process: Process, accounts: Iterable[AccountStatus], now: Instant) -> list[Notice]:
    """All problems, those of the exporter itself first."""
    of_accounts = [each for account in accounts for each in _of_account(account, now)]
    more = len(of_accounts) - MAX_ACCOUNT_NOTICES
    own = list(_of_process(process, now))
    if more <= 0:
        return own + of_accounts
    rest = Notice(f"{counted(more, 'more notice')} about accounts", "check the accounts below")
    return [*own, *of_accounts[:MAX_ACCOUNT_NOTICES], rest]


def _of_process(process: Process, now: Instant) -> Iterator[Notice]:
    if not process.is_healthy:
        yield Notice(
            "The poll loop has been blocked for a minute: no bucket is polled",
            "restart the exporter, and report a bug with the log from before the restart",
        )
    config = process.config
    if config.refused is not None:
        yield Notice(
            f"The configuration reload failed {relative(now.wall - config.refused)};"
            f" the configuration loaded at {utc(config.loaded)} stays active",
            "fix the configuration and reload",
            config.problems,
        )
    if process.lag > LAG_NOTICE_SECONDS:
        yield Notice(
            f"Polls are late by up to {span(process.lag)}",
            "raise `max_concurrent_requests` or `max_requests_per_second`, or use more shards",
        )


def _of_account(account: AccountStatus, now: Instant) -> Iterator[Notice]:
    name = account.name
    if account.paused_until is not None:
        yield Notice(
            f"Account {name} is rate limited and paused: polls resume"
            f" {relative(now.wall - account.paused_until)}",
            REDUCE_REQUESTS,
        )
    if account.token_expiry is not None and account.token_expiry <= now.wall:
        yield Notice(
            f"The token of account {name} expired {relative(now.wall - account.token_expiry)}",
            "replace the credentials",
        )
    discovery = account.discovery
    if discovery is not None and discovery.error is not None:
        yield Notice(
            f"Discovery of account {name} is failing: {discovery.error.reason}",
            "fix the cause below; the buckets found before are still polled",
            discovery.error.message,
        )
