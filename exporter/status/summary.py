"""All buckets at one moment: counted, chosen from, put in order, a few thousand a second.

It goes through them in slices, so that whoever asks can let others run in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.status.filters import Filter
from exporter.status.snapshot import BucketStatus, Snapshot
from exporter.status.state import Health, RankedBucket, Totals, worst_first
from exporter.status.text import counted
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
