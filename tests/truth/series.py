"""What a page says about each bucket, and checks that it does not contradict itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache

from tests.truth.facts import Fact
from tests.truth.pages import SERIES_KEPT, Page, Series

VALUES = {
    "flashback_node_uptime_ratio": "uptime",
    "flashback_node_latency_average_seconds": "latency_average",
    "flashback_node_latency_last_seconds": "latency_last",
    "flashback_node_last_updated_timestamp_seconds": "last_updated",
    "flashback_node_info": "info",
}
PREVIOUS_DAY = {
    "flashback_node_uptime_previous_day_ratio": "uptime",
    "flashback_node_latency_average_previous_day_seconds": "latency_average",
}
STATUS = "flashback_node_status"
NODE_FAMILIES = {*VALUES, *PREVIOUS_DAY, STATUS}
BUCKET_GAUGES = {
    "up": "flashback_bucket_up",
    "nodes": "flashback_bucket_nodes",
    "day_starts": "flashback_bucket_stats_day_timestamp_seconds",
    "success": "flashback_bucket_last_success_timestamp_seconds",
    "duration": "flashback_bucket_poll_duration_seconds",
}


@dataclass(slots=True)
class BucketSeries:
    """What a page says about a bucket; None: no series."""

    up: float | None = None
    nodes: float | None = None
    day_starts: float | None = None
    success: float | None = None  # Unix time
    duration: float | None = None
    reasons: list[str] = field(default_factory=list)
    facts: set[Fact] = field(default_factory=set)
    previous_day: set[Fact] = field(default_factory=set)
    statuses: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    @property
    def day(self) -> date | None:
        """The UTC day of the reading."""
        if self.day_starts is None or self.day_starts % 86400:
            return None
        return datetime.fromtimestamp(self.day_starts, UTC).date()

    def findings(self, known_statuses: Sequence[str]) -> Iterator[str]:
        """Contradictions within the page."""
        yield from self._wrong_statuses(known_statuses)
        if len(self.reasons) != (self.up == 0):
            yield f"up is {self.up}, the reasons of its failure are {self.reasons}"
        if self.up not in {None, 0, 1}:
            yield f"up is {self.up}"
        if self.up == 1 and self.nodes is None:
            yield "it is up, and no reading of it is shown"
        if (self.nodes is None) != (self.day_starts is None):
            yield f"{self.nodes} nodes on the day {self.day_starts}"
        if self.day_starts is not None and self.day is None:
            yield f"its day does not start at midnight: {self.day_starts}"
        if self.nodes is None and (self.facts or self.statuses):
            yield f"it has {len(self.facts)} samples of nodes and no reading"
        if self.success is None and (self.nodes is not None or self.up == 1):
            yield "it shows a reading, and was never polled with success"

    def _wrong_statuses(self, known_statuses: Sequence[str]) -> Iterator[str]:
        expected = {*known_statuses, "UNKNOWN"}
        for node, statuses in self.statuses.items():
            if set(statuses) != expected:
                yield f"{node} has the statuses {sorted(statuses)}"
            if sorted(statuses.values()) != [0.0] * (len(statuses) - 1) + [1.0]:
                yield f"not exactly one status of {node} is 1: {statuses}"


def bucket_series(page: Page) -> dict[str, BucketSeries]:
    """The series of each bucket on a page."""
    found: defaultdict[str, BucketSeries] = defaultdict(BucketSeries)
    for bucket in page.by("flashback_bucket_info", "bucket_id"):
        _ = found[bucket]
    for attribute, name in BUCKET_GAUGES.items():
        for bucket, value in page.by(name, "bucket_id").items():
            setattr(found[bucket], attribute, value)
    for series, value in page.of("flashback_bucket_failing").items():
        reason = series.label("reason")
        found[series.label("bucket_id")].reasons.append(reason if value == 1 else f"{reason}?")
    for bucket, fact in _facts(page, VALUES):
        found[bucket].facts.add(fact)
    for bucket, fact in _facts(page, PREVIOUS_DAY):
        found[bucket].previous_day.add(fact)
    for bucket, fact in _facts(page, {STATUS: "status"}):
        found[bucket].statuses.setdefault((fact.ip, fact.host), {})[fact.text] = fact.value
        if fact.value == 1:
            found[bucket].facts.add(fact)
    return found


def _facts(page: Page, families: Mapping[str, str]) -> Iterator[tuple[str, Fact]]:
    for name, kind in families.items():
        for series, value in page.of(name).items():
            yield _fact(kind, series, value)


@lru_cache(maxsize=SERIES_KEPT)
def _fact(kind: str, series: Series, value: float) -> tuple[str, Fact]:
    """The bucket of a series, and the fact about a node."""
    labels = dict(series.labels)
    text = labels.get("version", labels.get("status", ""))
    return labels["bucket_id"], Fact(kind, labels["ip"], labels["host"], text, value)
