"""The exporter's own metrics."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from prometheus_client import disable_created_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.metrics.self_metrics import ATTEMPT_REASONS, KNOWN_CODES, SelfMetrics
from exporter.model import Reason
from exporter.polling.collector import PollingCollector
from exporter.upstream.events import POSSIBLE_DRIFT, Attempt, Call, Drift, DriftKind
from tests.polling.scheduled import manager


@pytest.fixture
def self_metrics() -> SelfMetrics:
    """The self metrics, set up as the application does."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
    made = SelfMetrics("1.2.3", "abc", runtime_metrics=False)
    made.init_series("main", [Call.STATS])
    made.register(PollingCollector(manager(3)))
    made.watch_log(lambda: 7)
    return made


def text_of(self_metrics: SelfMetrics, *, openmetrics: bool = False) -> str:
    """The text of all self metrics."""
    return b"".join(self_metrics.pieces(openmetrics=openmetrics)).decode()


def value(self_metrics: SelfMetrics, name: str, **labels: str) -> float:
    """The value of one sample."""
    (found,) = (
        sample.value
        for family in self_metrics.families()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    )
    return found


def test_counters_exist_from_the_start(self_metrics: SelfMetrics) -> None:
    """Counters exist with the value 0 from the start, so that increase() sees the first event."""
    main = {"account": "main", "call": "stats"}
    for code in KNOWN_CODES:
        assert value(self_metrics, "flashback_api_requests_total", **main, code=str(code)) == 0
    for reason in ATTEMPT_REASONS:
        assert (
            value(self_metrics, "flashback_api_request_failures_total", **main, reason=reason) == 0
        )
    assert value(self_metrics, "flashback_api_retries_total", **main) == 0
    assert value(self_metrics, "flashback_api_request_duration_seconds_count", **main) == 0
    for kind, field in POSSIBLE_DRIFT:
        assert value(self_metrics, "flashback_api_schema_drift_total", kind=kind, field=field) == 0


def test_attempts_are_counted_once_each(self_metrics: SelfMetrics) -> None:
    """Responses are counted by code, failures by reason, and durations only of sent requests."""
    main = {"account": "main", "call": "stats"}
    self_metrics.attempted(Attempt("main", Call.STATS, 200, None, 0.2))
    self_metrics.attempted(Attempt("main", Call.STATS, 404, Reason.NOT_FOUND, 0.2))
    self_metrics.attempted(Attempt("main", Call.STATS, None, Reason.CONNECT, 0.2))
    self_metrics.attempted(Attempt("main", Call.STATS, None, Reason.UNAUTHORIZED, None))
    self_metrics.retrying("main", Call.STATS)
    self_metrics.drifted(Counter({Drift(DriftKind.DUPLICATE_NODE, "ip"): 4}))
    assert value(self_metrics, "flashback_api_requests_total", **main, code="200") == 1
    assert value(self_metrics, "flashback_api_requests_total", **main, code="404") == 1
    failures = {
        reason: value(self_metrics, "flashback_api_request_failures_total", **main, reason=reason)
        for reason in ATTEMPT_REASONS
    }
    assert {reason for reason, count in failures.items() if count} == {
        "not_found",
        "connect",
        "unauthorized",
    }
    assert value(self_metrics, "flashback_api_request_duration_seconds_count", **main) == 3
    assert value(self_metrics, "flashback_api_retries_total", **main) == 1
    labels = {"kind": "duplicate_node", "field": "ip"}
    assert value(self_metrics, "flashback_api_schema_drift_total", **labels) == 4


def test_gauges_are_current(self_metrics: SelfMetrics) -> None:
    """Buckets, lag, pauses and dropped log lines have their current values at each scrape."""
    assert value(self_metrics, "flashback_exporter_buckets") == 3
    assert value(self_metrics, "flashback_exporter_poll_lag_seconds") == 1.5
    assert value(self_metrics, "flashback_exporter_shard_ordinal", shard_ordinal="1") == 1
    assert value(self_metrics, "flashback_exporter_shards") == 3
    assert value(self_metrics, "flashback_exporter_log_lines_dropped_total") == 7
    paused = "flashback_account_paused_until_timestamp_seconds"
    assert value(self_metrics, paused, account="main") == 1705320030
    expiry = "flashback_account_token_expiry_timestamp_seconds"
    assert value(self_metrics, expiry, account="main") == 1705323600
    certificate = "flashback_account_certificate_expiry_timestamp_seconds"
    assert value(self_metrics, certificate, account="main") == 1705327200
    assert value(self_metrics, "flashback_account_clock_skew_seconds", account="main") == 0.25
    discovery = "flashback_account_discovery"
    assert value(self_metrics, f"{discovery}_up", account="main") == 1
    assert value(self_metrics, f"{discovery}_last_success_timestamp_seconds", account="main") > 0
    assert value(self_metrics, "flashback_account_discovered_buckets", account="main") == 7


def test_reload_metrics(self_metrics: SelfMetrics) -> None:
    """A failed reload sets success to 0, and keeps the time of the last successful one."""
    self_metrics.config_loaded(1705320000.0)
    self_metrics.config_refused()
    prefix = "flashback_exporter_config_last_reload"
    assert value(self_metrics, f"{prefix}_successful") == 0
    assert value(self_metrics, f"{prefix}_success_timestamp_seconds") == 1705320000
    self_metrics.config_loaded(1705320060.0)
    assert value(self_metrics, f"{prefix}_successful") == 1


def test_both_formats_say_the_same(self_metrics: SelfMetrics) -> None:
    """Both formats have the same series, none of them _created, and OpenMetrics is valid."""
    openmetrics = text_of(self_metrics, openmetrics=True)
    assert list(text_string_to_metric_families(openmetrics))  # type: ignore[no-untyped-call] # the library's
    assert openmetrics.endswith("# EOF\n")
    text = text_of(self_metrics)
    assert "_created" not in openmetrics + text
    assert 'flashback_exporter_build_info{python_version="3.' in text
    lines = {line for line in text.splitlines() if not line.startswith("#")}
    assert {line.split(" ")[0] for line in lines} == {
        line.split(" ")[0] for line in openmetrics.splitlines() if not line.startswith("#")
    }


@pytest.mark.parametrize("openmetrics", [False, True])
def test_accounts_are_in_separate_pieces(self_metrics: SelfMetrics, *, openmetrics: bool) -> None:
    """A piece has series of at most one account, and all pieces together repeat no line."""
    for number in range(50):
        self_metrics.init_series(f"a{number}", Call)
    pieces = list(self_metrics.pieces(openmetrics=openmetrics))
    assert all(len(set(re.findall(rb'account="(\w+)"', piece))) <= 1 for piece in pieces)
    lines = b"".join(pieces).decode().splitlines()
    assert len(set(lines)) == len(lines)
    assert sum('account="a7"' in line for line in lines) == 4 * (9 + 15 + 1 + 12)


def test_runtime_metrics_can_be_left_out() -> None:
    """The client library's own metrics are exposed unless they are switched off."""
    with_them = text_of(SelfMetrics("1", "2", runtime_metrics=True))
    assert "python_info{" in with_them
    assert "process_resident_memory_bytes " in with_them
    assert "python_gc_objects_collected_total{" in with_them
    without = text_of(SelfMetrics("1", "2", runtime_metrics=False))
    assert "python_info" not in without
    assert "process_" not in without
