"""Staleness in a real Prometheus."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from exporter.metrics.families import FAMILIES
from tests.harness.stack import BUCKETS, document, running_on_sockets
from tests.real.databases import Database, Series, prometheus
from tests.real.programs import until

UPTIME = "flashback_node_uptime_ratio"
VANISHING = {"flashback_bucket_nodes", "flashback_bucket_stats_day_timestamp_seconds"} | {
    family.name for family in FAMILIES if family.name.startswith("flashback_node_")
}
"""Metrics that must not be shown once the reading is stale."""

SOON_STALE = partial(document, poll_interval="5s", poll_timeout="5s", stale_after="15s")


@pytest.mark.long
async def test_stale_numbers_are_gone_at_once(prometheus_path: str, tmp_path: Path) -> None:
    """After the API hung for `stale_after`, queries find no node metrics any more.

    Prometheus marks series as stale when they are not on a page any more. Without that mark,
    queries would find them for five more minutes.
    """
    async with (
        running_on_sockets(text=SOON_STALE) as at_work,
        prometheus(prometheus_path, tmp_path, {"flashback": at_work.address}, "2s") as database,
    ):
        await until(partial(shown, database, UPTIME, 6 * len(BUCKETS)))
        at_work.api.play("hang/share=1")
        await until(partial(shown, database, UPTIME, 0))
        left = await database.samples('{job="flashback"}', time.time())
    names = {series.name for series in left}
    assert not names & VANISHING
    assert {
        "flashback_bucket_info",
        "flashback_bucket_last_success_timestamp_seconds",
    } <= names
    assert left[Series.of("up", {})] == 1
    failing = {
        (series.label("bucket_id"), series.label("reason"))
        for series in left
        if series.name == "flashback_bucket_failing"
    }
    assert failing == {(bucket, "timeout") for bucket in BUCKETS}


async def shown(database: Database, name: str, count: int) -> bool | None:
    """Whether a query finds this number of series with a name now."""
    return len(await database.samples(name, time.time())) == count or None
