"""Render a page of many buckets, compared with the client library and the same samples.

Without HTTP and sockets.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from benchmarks import fake_api
from benchmarks.processes import cpu_seconds
from benchmarks.table import Row
from exporter.model import DayStats, GoodPoll, Instant, Timing
from exporter.polling.targets import Targets
from exporter.upstream.parsing import parse_stats
from exporter.web.metrics_handler import gzipped

INTERVAL = 15.0
"""Seconds between two scrapes by a Prometheus."""

NOW = Instant(1705320000.0, 1000.0)  # 2024-01-15T12:00:00Z


def compare(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """CPU time of one page."""
    buckets, rounds = (500, 1) if quick else (10_000, 3)
    targets = polled_targets(buckets)
    page = partial(targets.render, NOW.monotonic)
    registry = library_registry(b"".join(page()).decode())
    cost = cpu_seconds(
        {
            "text": lambda: sum(1 for _ in page()) and 1,
            "gzip": lambda: sum(1 for _ in gzipped(page())) and 1,
            "library text": lambda: len(generate_latest(registry)) and 1,
            "library gzip": lambda: len(gzip.compress(generate_latest(registry))) and 1,
        },
        rounds,
    )
    name, library = f"scrape of {buckets:,} x {fake_api.NODES} nodes", "prometheus_client"
    return [
        Row(name, "text", "ms", cost["text"], library, cost["library text"], "≤ 1/100"),
        Row(name, "text, gzip", "ms", cost["gzip"], library, cost["library gzip"]),
        Row(name, "gzip, one Prometheus", "% of a core", cost["gzip"] / INTERVAL, target="≤ 1 %"),
    ]


def polled_targets(buckets: int) -> Targets:
    """Buckets that have been polled once each."""
    polled = ((fake_api.bucket(number), Timing()) for number in range(buckets))
    targets = Targets()
    targets.sync(targets.prepare(polled, fake_api.STATUSES, NOW), NOW)
    for number, target in enumerate(targets):
        stats = parse_stats(fake_api.answer(number), NOW.day, fake_api.LIMITS).result
        if not isinstance(stats, DayStats):
            raise TypeError(f"invalid fake response: {stats}")
        targets.record(target, GoodPoll(stats, NOW, 0.1 + number / 1e6))
    return targets


class LibraryCollector(Collector):
    """All gauges of a page, exposed as the client library documents."""

    def __init__(self, page: str) -> None:
        self._families = [
            (family.name, family.documentation, tuple(family.samples[0].labels), _samples(family))
            for family in text_string_to_metric_families(page)
            if family.samples
        ]

    def collect(self) -> Iterator[Metric]:
        for name, documentation, labels, samples in self._families:
            family = GaugeMetricFamily(name, documentation, labels=labels)
            for values, value in samples:
                family.add_metric(values, value)
            yield family


def library_registry(page: str) -> CollectorRegistry:
    """A registry with only the samples of the page."""
    registry = CollectorRegistry()
    registry.register(LibraryCollector(page))
    return registry


def _samples(family: Metric) -> list[tuple[tuple[str, ...], float]]:
    return [(tuple(sample.labels.values()), sample.value) for sample in family.samples]
