"""The exporter's own metrics: what it did, and how it is at the moment of a scrape.

Counters accumulate here for as long as the process lives. What is known of buckets and nodes is
not here but in `exposition`.
"""

from __future__ import annotations

import platform
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

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
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from exporter.model import Reason
from exporter.upstream.events import POSSIBLE_DRIFT, Attempt, Call, Drift

if TYPE_CHECKING:
    import collections
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeAlias

    from prometheus_client.metrics_core import Metric

    from exporter.sharding import Shard

    _Format: TypeAlias = Callable[[CollectorRegistry], bytes]

KNOWN_CODES = (200, 400, 401, 403, 404, 429, 500, 502, 503)
"""The HTTP statuses whose counters exist before they are seen."""

ATTEMPT_REASONS = tuple(reason for reason in Reason if reason is not Reason.OVERDUE)
"""An attempt can fail for any reason but the one that means that there was none."""

DURATION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Polling(Protocol):
    """What is asked of the polling at each scrape."""

    def bucket_count(self) -> int:
        """How many buckets this process polls."""
        ...

    @property
    def shard(self) -> Shard:
        """Which part of the buckets this process polls."""
        ...

    def lag(self) -> float:
        """How late the most overdue poll is, seconds."""
        ...

    def paused_until(self) -> Mapping[str, float]:
        """The accounts that a 429 has paused, and until when, Unix time."""
        ...

    def token_expiries(self) -> Mapping[str, float]:
        """When the accounts' tokens end, Unix time, where they say so."""
        ...

    def listings(self) -> Mapping[str, ListingView]:
        """The accounts whose discovery has been tried."""
        ...


class ListingView(NamedTuple):
    """How the discovery of an account does."""

    up: bool
    buckets: int
    last_success: float | None  # Unix time


class Telemetry:
    """Counts what it is told; it is the observer of every client."""

    def __init__(self, version: str, revision: str, *, runtime_metrics: bool) -> None:
        self._counted = CollectorRegistry()
        """What stays as it is until something is told here: its text is kept until then."""
        self._asked = CollectorRegistry()
        """What is asked at each scrape."""
        self._kept: dict[_Format, bytes] = {}
        self._counted.register(_BuildInfo(version, revision))
        if runtime_metrics:
            PlatformCollector(registry=self._counted)
            ProcessCollector(registry=self._asked)
            GCCollector(registry=self._asked)
        self._requests = Counter(
            "flashback_api_requests",
            "HTTP answers of the Flashback API, whatever they said.",
            ("account", "call", "code"),
            registry=self._counted,
        )
        self._failures = Counter(
            "flashback_api_request_failures",
            "Attempts that gave no usable answer.",
            ("account", "call", "reason"),
            registry=self._counted,
        )
        self._retries = Counter(
            "flashback_api_retries",
            "Calls that were made once more.",
            ("account", "call"),
            registry=self._counted,
        )
        self._durations = Histogram(
            "flashback_api_request_duration_seconds",
            "How long the Flashback API took for a request, answered or not.",
            ("account", "call"),
            buckets=DURATION_BUCKETS,
            registry=self._counted,
        )
        self._drift = Counter(
            "flashback_api_schema_drift",
            "Places in answers that differ from the API's documentation.",
            ("kind", "field"),
            registry=self._counted,
        )
        # Found once: looking children up is more than half of what counting costs.
        self._cells = lru_cache(maxsize=4096)(self._find_cells)
        for drift in POSSIBLE_DRIFT:
            self._drift.labels(*drift)
        self._reload_successful = Gauge(
            "flashback_exporter_config_last_reload_successful",
            "Whether the newest attempt to load the configuration succeeded.",
            registry=self._counted,
        )
        self._reload_success = Gauge(
            "flashback_exporter_config_last_reload_success_timestamp_seconds",
            "When a configuration was last loaded with success, as Unix time.",
            registry=self._counted,
        )

    def expect(self, account: str, calls: Iterable[Call]) -> None:
        """Let an account's counters start at 0 rather than when something happens."""
        self._kept.clear()
        for call in calls:
            for code in KNOWN_CODES:
                self._requests.labels(account, call, code)
            for reason in ATTEMPT_REASONS:
                self._failures.labels(account, call, reason)
            self._retries.labels(account, call)
            self._durations.labels(account, call)

    def watch(self, polling: Polling) -> None:
        """Ask `polling` at each scrape."""
        self._asked.register(_PollingGauges(polling))

    def config_loaded(self, wall: float) -> None:
        """A configuration was loaded and is at work."""
        self._kept.clear()
        self._reload_successful.set(1)
        self._reload_success.set(wall)

    def config_refused(self) -> None:
        """A configuration could not be used; the one before is at work."""
        self._kept.clear()
        self._reload_successful.set(0)

    def attempted(self, attempt: Attempt) -> None:
        """Count an attempt."""
        self._kept.clear()
        requests, failures, durations = self._cells(
            attempt.account, attempt.call, attempt.status, attempt.reason
        )
        if requests is not None:
            requests.inc()
        if failures is not None:
            failures.inc()
        if attempt.seconds is not None:
            durations.observe(attempt.seconds)

    def retrying(self, account: str, call: Call) -> None:
        """Count a call that is made once more."""
        self._kept.clear()
        self._retries.labels(account, call).inc()

    def drifted(self, drift: collections.Counter[Drift]) -> None:
        """Count places that differ from the API's documentation."""
        self._kept.clear()
        for place, times in drift.items():
            self._drift.labels(*place).inc(times)

    def _find_cells(
        self, account: str, call: Call, status: int | None, reason: Reason | None
    ) -> tuple[Counter | None, Counter | None, Histogram]:
        return (
            None if status is None else self._requests.labels(account, call, status),
            None if reason is None else self._failures.labels(account, call, reason),
            self._durations.labels(account, call),
        )

    def families(self) -> Iterator[Metric]:
        """Every metric as it is now."""
        return chain(self._counted.collect(), self._asked.collect())

    def text(self) -> bytes:
        """Every metric in the text format 0.0.4."""
        return self._counted_as(generate_latest) + generate_latest(self._asked)

    def openmetrics(self) -> bytes:
        """Every metric in OpenMetrics 1.0, the closing `# EOF` included."""
        counted = self._counted_as(_openmetrics)
        return counted.removesuffix(b"# EOF\n") + _openmetrics(self._asked)

    def _counted_as(self, form: _Format) -> bytes:
        text = self._kept.get(form)
        if text is None:
            text = self._kept[form] = form(self._counted)
        return text


def _openmetrics(registry: CollectorRegistry) -> bytes:
    text: bytes = generate_openmetrics(registry, version="1.0.0")  # type: ignore[no-untyped-call] # the library's
    return text


class _BuildInfo(Collector):
    def __init__(self, version: str, revision: str) -> None:
        self._labels = (version, revision, platform.python_version())

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "flashback_exporter_build_info",
            "The exporter's version, always 1.",
            labels=("version", "revision", "python_version"),
        )
        family.add_metric(self._labels, 1)
        yield family


class _PollingGauges(Collector):
    def __init__(self, polling: Polling) -> None:
        self._polling = polling

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "flashback_exporter_buckets",
            "Buckets that this process polls.",
            value=self._polling.bucket_count(),
        )
        yield GaugeMetricFamily(
            "flashback_exporter_poll_lag_seconds",
            "How late the most overdue poll is; pauses and re-checks are not lag.",
            value=self._polling.lag(),
        )
        shard = self._polling.shard
        ordinal = GaugeMetricFamily(
            "flashback_exporter_shard_ordinal",
            "Which of the shards this process is, from 0.",
            labels=("shard_ordinal",),
        )
        ordinal.add_metric((str(shard.ordinal),), shard.ordinal)
        yield ordinal
        yield GaugeMetricFamily(
            "flashback_exporter_shards", "How many shards there are.", value=shard.total
        )
        yield _per_account(
            "flashback_account_paused_until_timestamp_seconds",
            "Until when a 429 has paused the account, as Unix time; absent while it is not.",
            self._polling.paused_until(),
        )
        yield _per_account(
            "flashback_account_token_expiry_timestamp_seconds",
            "When the account's access token expires, as Unix time; absent where it does not say.",
            self._polling.token_expiries(),
        )
        listings = self._polling.listings()
        yield _per_account(
            "flashback_account_discovery_up",
            "Whether the newest listing of the account's buckets succeeded.",
            {account: float(listing.up) for account, listing in listings.items()},
        )
        yield _per_account(
            "flashback_account_discovered_buckets",
            "Buckets found in the account that pass its filters, whoever polls them.",
            {account: float(listing.buckets) for account, listing in listings.items()},
        )
        yield _per_account(
            "flashback_account_discovery_last_success_timestamp_seconds",
            "When the account's buckets were last listed with success, as Unix time.",
            {
                account: listing.last_success
                for account, listing in listings.items()
                if listing.last_success is not None
            },
        )


def _per_account(name: str, help_text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=("account",))
    for account, value in values.items():
        family.add_metric((account,), value)
    return family
