"""What a scrape would be with the client library: a collector that shows the same samples.

Written as its documentation teaches it, from the same readings that the exporter renders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, time

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from exporter.metrics.families import FAMILIES
from exporter.model import UNKNOWN_STATUS, Bucket, GoodPoll, Node

NODE = ("bucket_id", "ip", "host")
BUCKET = ("bucket_id",)
INFO = ("bucket_id", "name", "account", "storage_type", "region", "workspace_id")
HELP = {family.name: family.help for family in FAMILIES}


def registry(readings: Sequence[tuple[Bucket, GoodPoll]], statuses: Sequence[str]) -> Collector:
    """A registry with nothing but these buckets, all of them fresh."""
    made = CollectorRegistry()
    made.register(ReadingsCollector(readings, statuses))
    return made


class ReadingsCollector(Collector):
    """Every metric of buckets that have been polled with success."""

    def __init__(
        self, readings: Sequence[tuple[Bucket, GoodPoll]], statuses: Sequence[str]
    ) -> None:
        self._readings = readings
        self._statuses = (*statuses, UNKNOWN_STATUS)

    def collect(self) -> Iterator[Metric]:
        """Each family in the order of the exporter's page."""
        yield self._node_gauge("uptime_ratio", lambda node: node.uptime_ratio)
        yield self._node_gauge("latency_average_seconds", lambda node: node.latency_average_seconds)
        yield self._node_gauge("latency_last_seconds", lambda node: node.latency_last_seconds)
        yield self._status()
        yield self._node_gauge("last_updated_timestamp_seconds", lambda node: node.last_updated)
        yield self._node_info()
        yield self._bucket_gauge("up", lambda _: 1)
        yield self._bucket_gauge("nodes", lambda reading: len(reading.stats.nodes))
        yield self._bucket_gauge("stats_day_timestamp_seconds", _day)
        yield self._bucket_gauge(
            "last_success_timestamp_seconds", lambda reading: reading.ended.wall
        )
        yield self._bucket_gauge("poll_duration_seconds", lambda reading: reading.duration)
        yield self._bucket_info()

    def _nodes(self) -> Iterator[tuple[tuple[str, str, str], Node]]:
        for bucket, reading in self._readings:
            for node in reading.stats.nodes:
                yield (bucket.id, node.ip, node.host), node

    def _node_gauge(self, name: str, value_of: Callable[[Node], float | None]) -> Metric:
        family = _family(f"flashback_node_{name}", NODE)
        for labels, node in self._nodes():
            value = value_of(node)
            if value is not None:
                family.add_metric(labels, value)
        return family

    def _status(self) -> Metric:
        family = _family("flashback_node_status", (*NODE, "status"))
        for labels, node in self._nodes():
            for status in self._statuses:
                family.add_metric((*labels, status), float(status == node.status))
        return family

    def _node_info(self) -> Metric:
        family = _family("flashback_node_info", (*NODE, "version"))
        for labels, node in self._nodes():
            family.add_metric((*labels, node.version or ""), 1)
        return family

    def _bucket_gauge(self, name: str, value_of: Callable[[GoodPoll], float]) -> Metric:
        family = _family(f"flashback_bucket_{name}", BUCKET)
        for bucket, reading in self._readings:
            family.add_metric((bucket.id,), value_of(reading))
        return family

    def _bucket_info(self) -> Metric:
        family = _family("flashback_bucket_info", INFO)
        for bucket, _ in self._readings:
            family.add_metric((bucket.id, bucket.name, bucket.account, "", "", ""), 1)
        return family


def _family(name: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, HELP[name], labels=labels)


def _day(reading: GoodPoll) -> float:
    return datetime.combine(reading.stats.day, time(), UTC).timestamp()
