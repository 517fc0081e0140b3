"""The exporter's own metrics: API requests, build, and the last load of the configuration.

The current state of the polling is in `polling.collector`, buckets and nodes are in `families`.
"""

from __future__ import annotations

import collections
import platform
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from exporter.model import Label, Reason
from exporter.upstream.events import POSSIBLE_DRIFT, Attempt, Call, Drift

_Metric = TypeVar("_Metric", Counter, Histogram)
_Format: TypeAlias = Callable[["_Family"], bytes]

KNOWN_CODES = (200, 400, 401, 403, 404, 429, 500, 502, 503)
"""HTTP statuses whose counters exist from the start."""

ATTEMPT_REASONS = tuple(reason for reason in Reason if reason is not Reason.OVERDUE)
"""Without OVERDUE, which is a state of a bucket, never the result of an attempt."""

DURATION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class SelfMetrics:
    """Counts the events that the API clients report, and renders the exporter's own metrics."""

    def __init__(self, version: str, revision: str, *, runtime_metrics: bool) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_BuildInfo(version, revision))
        if runtime_metrics:
            PlatformCollector(registry=self._registry)
            ProcessCollector(registry=self._registry)
            GCCollector(registry=self._registry)
        self._requests = _PerAccount(
            Counter,
            "flashback_api_requests",
            "Total number of HTTP responses from the Flashback API.",
            (Label.ACCOUNT, Label.CALL, Label.CODE),
        )
        self._failures = _PerAccount(
            Counter,
            "flashback_api_request_failures",
            "Total number of request attempts to the Flashback API that got no usable response.",
            (Label.ACCOUNT, Label.CALL, Label.REASON),
        )
        self._retries = _PerAccount(
            Counter,
            "flashback_api_retries",
            "Total number of retries of calls to the Flashback API.",
            (Label.ACCOUNT, Label.CALL),
        )
        self._durations = _PerAccount(
            partial(Histogram, buckets=DURATION_BUCKETS),
            "flashback_api_request_duration_seconds",
            "Duration of requests to the Flashback API in seconds, with or without a response.",
            (Label.ACCOUNT, Label.CALL),
        )
        for collector in (self._requests, self._failures, self._retries, self._durations):
            self._registry.register(collector)
        self._drift = Counter(
            "flashback_api_schema_drift",
            "Total number of differences between API responses and the API documentation.",
            (Label.KIND, Label.FIELD),
            registry=self._registry,
        )
        # Cached: looking up the labelled children takes more than half of the time of an increment.
        self._children = lru_cache(maxsize=4096)(self._find_children)
        for drift in POSSIBLE_DRIFT:
            self._drift.labels(*drift)
        self._reload_successful = Gauge(
            "flashback_exporter_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded.",
            registry=self._registry,
        )
        self._reload_success = Gauge(
            "flashback_exporter_config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful load of the configuration.",
            registry=self._registry,
        )

    def init_series(self, account: str, calls: Iterable[Call]) -> None:
        """Create an account's counters at 0, so that their first increase is visible."""
        for call in calls:
            for code in KNOWN_CODES:
                self._requests.labels(account, call, code)
            for reason in ATTEMPT_REASONS:
                self._failures.labels(account, call, reason)
            self._retries.labels(account, call)
            self._durations.labels(account, call)

    def register(self, collector: Collector) -> None:
        self._registry.register(collector)

    def watch_log(self, dropped_lines: Callable[[], int]) -> None:
        """Read the number of dropped log lines at each scrape."""
        self._registry.register(_DroppedLines(dropped_lines))

    def config_loaded(self, wall: float) -> None:
        self._reload_successful.set(1)
        self._reload_success.set(wall)

    def config_refused(self) -> None:
        """Record that a configuration could not be used. The previous one stays active."""
        self._reload_successful.set(0)

    def attempted(self, attempt: Attempt) -> None:
        requests, failures, durations = self._children(
            attempt.account, attempt.call, attempt.status, attempt.reason
        )
        if requests is not None:
            requests.inc()
        if failures is not None:
            failures.inc()
        if attempt.seconds is not None:
            durations.observe(attempt.seconds)

    def retrying(self, account: str, call: Call) -> None:
        self._retries.labels(account, call).inc()

    def drifted(self, drift: collections.Counter[Drift]) -> None:
        """Count schema drift."""
        for place, times in drift.items():
            self._drift.labels(*place).inc(times)

    def _find_children(
        self, account: str, call: Call, status: int | None, reason: Reason | None
    ) -> tuple[Counter | None, Counter | None, Histogram]:
        return (
            None if status is None else self._requests.labels(account, call, status),
            None if reason is None else self._failures.labels(account, call, reason),
            self._durations.labels(account, call),
        )

    def families(self) -> Iterator[Metric]:
        return iter(self._registry.collect())

    def pieces(self, *, openmetrics: bool) -> Iterator[bytes]:
        """All metrics as text, in chunks, because rendering many accounts takes long.

        The text format is 0.0.4, or OpenMetrics 1.0 with the final `# EOF`.
        """
        form = _openmetrics if openmetrics else generate_latest
        yield from _pieces(self._registry, form)
        if openmetrics:
            yield b"# EOF\n"


class _PerAccount(Collector, Generic[_Metric]):
    """One metric, collected account by account.

    The client library renders all samples of a metric at once. With a hundred accounts, that would
    block the event loop.
    """

    def __init__(
        self, kind: Callable[..., _Metric], name: str, help_text: str, names: tuple[Label, ...]
    ) -> None:
        self._new: Callable[[], _Metric] = partial(kind, name, help_text, names, registry=None)
        self._metrics: dict[str, _Metric] = {}

    def labels(self, account: str, *others: object) -> _Metric:
        if (metric := self._metrics.get(account)) is None:
            metric = self._metrics[account] = self._new()
        return metric.labels(account, *others)

    def collect(self) -> Iterator[Metric]:
        for metric in tuple(self._metrics.values()):
            yield from metric.collect()


class _Family(NamedTuple):
    """A registry with one metric, for the client library's rendering functions."""

    metric: Metric

    def collect(self) -> Iterator[Metric]:
        yield self.metric


def _pieces(registry: CollectorRegistry, form: _Format) -> Iterator[bytes]:
    """Render each family. If a family comes in several parts, only the first has the header."""
    before = ""
    for family in registry.collect():
        text = form(_Family(family)).removesuffix(b"# EOF\n")
        yield _without_header(text) if family.name == before else text
        before = family.name


def _without_header(text: bytes) -> bytes:
    while text.startswith(b"# "):
        text = text.partition(b"\n")[2]
    return text


def _openmetrics(registry: _Family) -> bytes:
    text: bytes = generate_openmetrics(registry, version="1.0.0")  # type: ignore[no-untyped-call] # the library's
    return text


class _BuildInfo(Collector):
    def __init__(self, version: str, revision: str) -> None:
        self._labels = (version, revision, platform.python_version())

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "flashback_exporter_build_info",
            "A metric with a constant '1' value labeled by the version and revision of the exporter"
            " and the version of Python.",
            labels=(Label.VERSION, Label.REVISION, Label.PYTHON_VERSION),
        )
        family.add_metric(self._labels, 1)
        yield family


class _DroppedLines(Collector):
    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "flashback_exporter_log_lines_dropped",
            "Total number of log lines dropped because standard error was blocked or not writable.",
            value=self._count(),
        )
