"""All buckets at one moment: counted, chosen from, put in order; the headline and the notices.

Pure. It goes through the buckets in slices, so that whoever asks can let others run in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exporter.model import Instant
from exporter.status.filters import Filter
from exporter.status.snapshot import AccountStatus, BucketStatus, Process, Snapshot
from exporter.status.state import Health, RankedBucket, Totals, worst_first
from exporter.status.text import counted, relative, span, utc
from exporter.status.view import BucketView, bucket_view

SLICE = 250
"""Buckets that are gone through at a time: one or two milliseconds' work."""


class Summary:
    """Goes through all buckets of a snapshot once."""

    def __init__(self, snapshot: Snapshot, chosen: Filter) -> None:
        self.snapshot = snapshot
        self._chosen = chosen
        self.totals = Totals()
        """All buckets, whether they were asked for or not."""
        self.matches: list[RankedBucket] = []
        """Those that were asked for, the worst first once all steps are done."""

    def steps(self) -> Iterator[None]:
        """Do the work, a slice at each step."""
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
        """What is said of some of the buckets, one after the other."""
        for each in ranked:
            yield bucket_view(each, self.snapshot)


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer in a sentence."""

    text: str
    short: str  # for a window's title
    health: Health


def headline(totals: Totals) -> Headline:
    """How everything is, in one sentence: the worst that there is."""
    failing, pending = totals.by_health[Health.FAILING], totals.by_health[Health.PENDING]
    buckets = counted(totals.buckets, "bucket")
    if not totals.buckets:
        return Headline("No buckets are polled", "no buckets", Health.PENDING)
    if failing:
        verb = "is" if failing == 1 else "are"
        text = f"{failing:,} of {buckets} {verb} failing"
        return Headline(text, f"{failing:,} failing", Health.FAILING)
    if pending:
        verb = "waits" if pending == 1 else "wait"
        text = f"{pending:,} of {buckets} {verb} for the first poll"
        return Headline(text, f"{pending:,} waiting", Health.PENDING)
    if totals.not_online:
        nodes = counted(totals.nodes, "node")
        text = f"All buckets are up, {totals.not_online:,} of {nodes} not online"
        return Headline(text, f"{totals.not_online:,} not online", Health.DEGRADED)
    text = "The bucket is up" if totals.buckets == 1 else f"All {buckets} are up"
    return Headline(text, "all up", Health.UP)


MOST_ACCOUNTS = 5
"""Accounts whose trouble is told in full."""

_WORTH_TELLING = 60.0
"""Seconds of lag that people are told of."""


class Notice(NamedTuple):
    """Something that people should know, and what to do about it."""

    text: str
    remedy: str
    detail: str = ""  # lines as they came from elsewhere


def notices(process: Process, accounts: Iterable[AccountStatus], now: Instant) -> list[Notice]:
    """Everything that is wrong, the exporter's own trouble first."""
    told = [each for account in accounts for each in _of_account(account, now)]
    more = len(told) - MOST_ACCOUNTS
    own = list(_of_process(process, now))
    if more <= 0:
        return own + told
    rest = Notice(f"{counted(more, 'more notice')} of accounts", "look at the accounts below")
    return [*own, *told[:MOST_ACCOUNTS], rest]


def _of_process(process: Process, now: Instant) -> Iterator[Notice]:
    if not process.is_healthy:
        yield Notice(
            "The poll loop has not beaten for a minute: nothing is polled",
            "restart the exporter, and report the log before it",
        )
    config = process.config
    if config.refused is not None:
        yield Notice(
            f"The configuration was refused {relative(now.wall - config.refused)};"
            f" the one loaded {utc(config.loaded)} runs on",
            "fix the file and reload",
            config.problems,
        )
    if process.lag > _WORTH_TELLING:
        yield Notice(
            f"Polls are late by up to {span(process.lag)}",
            "raise `max_concurrent_requests` or `max_requests_per_second`, or use more shards",
        )


def _of_account(account: AccountStatus, now: Instant) -> Iterator[Notice]:
    name = account.name
    if account.paused_until is not None:
        yield Notice(
            f"Account {name} is paused: it is polled again"
            f" {relative(now.wall - account.paused_until)}",
            "fewer buckets, a longer interval, or a higher quota",
        )
    if account.token_expiry is not None and account.token_expiry <= now.wall:
        yield Notice(
            f"The token of account {name} ended {relative(now.wall - account.token_expiry)}",
            "renew the token",
        )
    discovery = account.discovery
    if discovery is not None and discovery.error is not None:
        yield Notice(
            f"Buckets of account {name} cannot be listed: {discovery.error.reason}",
            "the buckets found before are polled on",
            discovery.error.message,
        )
