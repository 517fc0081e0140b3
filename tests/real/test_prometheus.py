"""What a real Prometheus stores after a scrape, in both formats."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from exporter.metrics.families import METRICS
from exporter.simulator import Simulator
from exporter.simulator.data_faults import HOSTILE
from exporter.web.metrics_handler import OPENMETRICS_TYPE, TEXT_TYPE
from tests.harness.fakes import NOON
from tests.harness.scrapes import Sample
from tests.harness.stack import FIELDS, was_served
from tests.real.databases import Samples, Series, prometheus
from tests.real.everything import (
    FAILING,
    ODD,
    ODD_LABELS,
    ODD_NAME,
    complete,
    exporter_of_everything,
)
from tests.real.programs import program
from tests.real.relay import Exchange, relaying
from tests.real.scraped import Scraped, further_scrapes, scrapes

pytestmark = pytest.mark.long

FORMATS = {"text": ("text/plain;version=0.0.4", TEXT_TYPE), "openmetrics": (None, OPENMETRICS_TYPE)}
"""By format: the Accept header set by the relay (None: unchanged), and the expected type."""


ONLY_WITH_TLS = {"flashback_account_certificate_expiry_timestamp_seconds"}
"""Metrics without series in these tests, because their API uses no TLS."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What Prometheus has stored from one exporter."""

    api: Simulator
    targets: list[dict[str, Any]]
    log: str
    scrapes: dict[str, list[Scraped]]  # by format


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(
    prometheus_path: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Seen]:
    """One exporter, scraped by one Prometheus in both formats. Shared by all tests."""
    async with AsyncExitStack() as stack:
        relays, addresses = {}, {}
        for name, (accept, _) in FORMATS.items():
            relays[name], addresses[name] = await stack.enter_async_context(relaying(accept))
        at_work = await stack.enter_async_context(exporter_of_everything())
        for relay in relays.values():
            relay.plug(at_work.address)
        directory = tmp_path_factory.mktemp("prometheus")
        database = await stack.enter_async_context(
            prometheus(prometheus_path, directory, addresses, "2s")
        )
        await complete(at_work)
        await further_scrapes(database, 2, *FORMATS)
        yield Seen(
            at_work.api,
            (await database.get("targets"))["activeTargets"],
            database.log(),
            {name: await scrapes(database, name, relay) for name, relay in relays.items()},
        )


@pytest.fixture(params=list(FORMATS))
def format_name(request: pytest.FixtureRequest) -> str:
    """Each format in turn."""
    name: str = request.param
    return name


@pytest.fixture
def stored(seen: Seen, format_name: str) -> Samples:
    """The samples of the newest scrape in a format."""
    return seen.scrapes[format_name][-1].stored


def labels_of(samples: Samples, name: str, **labels: str) -> list[dict[str, str]]:
    """The labels of all series with a name and these labels."""
    return [
        dict(series.labels)
        for series in samples
        if series.name == name and labels.items() <= dict(series.labels).items()
    ]


def label_value(value: object) -> str:
    """The label value that the exporter must expose for a text."""
    replaced = "[\x00\r\v\f\x1c-\x1e\x85\u2028\u2029\ud800-\udfff]"
    return re.sub(replaced, "\ufffd", str(value))[:256]


def complaints(log: str) -> list[str]:
    """Log lines of Prometheus about problems with a page. Prometheus 3 writes levels in capitals.

    Timeouts are left out, because a slow machine causes them.
    """
    pattern = r"level=(warn|error)|scrape_pool=|out.of.order|duplicate"
    lines = (line for line in log.splitlines() if "context deadline exceeded" not in line)
    return [line for line in lines if re.search(pattern, line, re.IGNORECASE)]


def announced(exchange: Exchange) -> set[str]:
    """The names of the samples that a page must have by its TYPE lines."""
    openmetrics = exchange.answered.get_content_type() == "application/openmetrics-text"
    suffixes = {
        "histogram": ["_bucket", "_sum", "_count"],
        "counter": ["_total" if openmetrics else ""],
    }
    return {
        name + suffix
        for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", exchange.text, re.MULTILINE)
        for suffix in suffixes.get(kind, [""])
    }


def test_every_sample_is_stored_and_nothing_else(seen: Seen, format_name: str) -> None:
    """After each scrape, a query finds exactly the series and values of that page."""
    assert len(seen.scrapes[format_name]) >= 2
    for scraped in seen.scrapes[format_name]:
        assert len(scraped.page) > 2500
        assert scraped.stored == scraped.page


def test_every_metric_is_there(seen: Seen, format_name: str) -> None:
    """Each metric on the page has series. `everything` must be extended for a new one."""
    newest = seen.scrapes[format_name][-1]
    names = {series.name for series in newest.stored}
    assert names == announced(newest.exchange) - ONLY_WITH_TLS
    assert names >= {family.name for family in METRICS}


def test_format_is_the_one_asked_for(seen: Seen, format_name: str) -> None:
    """Each page has the requested format, is compressed, and uses the same connection."""
    exchanges = [scraped.exchange for scraped in seen.scrapes[format_name]]
    for exchange in exchanges:
        assert exchange.status == 200
        assert exchange.asked["User-Agent"].startswith("Prometheus/")
        assert exchange.answered["Content-Type"] == FORMATS[format_name][1]
        assert exchange.answered["Content-Encoding"] == "gzip"
        assert len(exchange.body) < len(exchange.text) / 5
    assert {exchange.connection for exchange in exchanges} == {0}


def test_scrapes_succeed_whole(seen: Seen, format_name: str) -> None:
    """The target is up, and its sample count is that of the page."""
    for scraped in seen.scrapes[format_name]:
        assert scraped.own["up"] == 1
        assert scraped.own["scrape_samples_scraped"] == len(scraped.page)
        assert scraped.own["scrape_samples_post_metric_relabeling"] == len(scraped.page)


def test_prometheus_has_no_complaints(seen: Seen) -> None:
    """There are no errors, warnings or rejected samples, neither in the targets nor in the log."""
    assert {target["scrapePool"] for target in seen.targets} == set(FORMATS)
    assert {target["health"] for target in seen.targets} == {"up"}
    assert {target["lastError"] for target in seen.targets} == {""}
    assert complaints(seen.log) == []


def test_node_values_are_what_the_api_said(seen: Seen, stored: Samples) -> None:
    """The uptimes and latencies of the nodes are the figures that the simulator sent."""
    samples = [
        Sample(series.name, dict(series.labels), value)
        for series, value in stored.items()
        if series.name in FIELDS and series.label("bucket_id") in {"calm", "strange", ODD}
    ]
    assert len(samples) == len(FIELDS) * 3 * 6
    assert all(was_served(seen.api, sample) for sample in samples)


def test_reasons_of_failures_arrive(stored: Samples) -> None:
    """Each failing bucket is down with its reason, and the others are up."""
    failing = {
        labels["bucket_id"]: labels["reason"]
        for labels in labels_of(stored, "flashback_bucket_failing")
    }
    assert failing == {bucket: reason for bucket, (_, reason) in FAILING.items()}
    for series, value in stored.items():
        if series.name == "flashback_bucket_up":
            assert value == (series.label("bucket_id") not in FAILING)


def test_pause_arrives(stored: Samples) -> None:
    """Only the account that got a 429 is paused."""
    name = "flashback_account_paused_until_timestamp_seconds"
    paused = {series: value for series, value in stored.items() if series.name == name}
    assert list(paused) == [Series.of(name, {"account": "paused"})]
    assert NOON + 29 < paused.popitem()[1] < NOON + 60


def test_unknown_statuses_arrive_as_unknown(seen: Seen, stored: Samples) -> None:
    """An unknown status is UNKNOWN, and each node has exactly one status."""
    served = seen.api.record.newest("strange")
    assert served is not None
    known = {"ONLINE", "OFFLINE", "DISCONNECTED"}
    expected = {
        row["ip"]: row["node_status"] if row["node_status"] in known else "UNKNOWN"
        for row in served.rows
    }
    assert "UNKNOWN" in expected.values()
    name = "flashback_node_status"
    found = labels_of(stored, name, bucket_id="strange")
    assert len(found) == 6 * len({*known, "UNKNOWN"})
    current = [each for each in found if stored[Series.of(name, each)] == 1]
    assert sorted((each["ip"], each["status"]) for each in current) == sorted(expected.items())


def test_hostile_strings_arrive_as_they_are(seen: Seen, stored: Samples) -> None:
    """Quotes, newlines, control characters and long texts arrive unchanged in query results.

    Except for NUL, lone surrogates and line ends other than LF, which are replaced, and for text
    after 256 characters.
    """
    served = seen.api.record.newest("hostile")
    assert served is not None
    assert {row["version"] for row in served.rows} == set(HOSTILE)
    names = ("ip", "host", "version")
    expected = {tuple(label_value(row[name]) for name in names) for row in served.rows}
    found = labels_of(stored, "flashback_node_info", bucket_id="hostile")
    assert {tuple(each.get(name, "") for name in names) for each in found} == expected


def test_odd_names_of_the_configuration_arrive_as_they_are(stored: Samples) -> None:
    """A bucket's id, name and labels are the same in Prometheus as in the file."""
    (info,) = labels_of(stored, "flashback_bucket_info", bucket_id=ODD)
    expected = {"bucket_id": ODD, "name": ODD_NAME, "account": "main", **ODD_LABELS}
    assert info == {name: value for name, value in expected.items() if value}


async def test_newer_settings_change_nothing(tmp_path: Path) -> None:
    """Prometheus stores the same with native histograms, created timestamps and escaped names."""
    flags = "--enable-feature=native-histograms,created-timestamp-zero-ingestion"
    how = {"metric_name_escaping_scheme": "values", "always_scrape_classic_histograms": True}
    async with AsyncExitStack() as stack:
        relay, address = await stack.enter_async_context(relaying())
        at_work = await stack.enter_async_context(exporter_of_everything())
        relay.plug(at_work.address)
        path = program("prometheus")
        database = await stack.enter_async_context(
            prometheus(path, tmp_path, {"flashback": address}, "2s", how, flags)
        )
        await complete(at_work)
        await further_scrapes(database, 2, "flashback")
        found = await scrapes(database, "flashback", relay)
        log = database.log()
    assert len(found) >= 2
    for scraped in found:
        assert "application/vnd.google.protobuf" in scraped.exchange.asked["Accept"]
        assert "escaping=values" in scraped.exchange.asked["Accept"]
        assert scraped.exchange.answered["Content-Type"] == OPENMETRICS_TYPE
        assert scraped.stored == scraped.page
        assert scraped.own["up"] == 1
    assert complaints(log) == []
