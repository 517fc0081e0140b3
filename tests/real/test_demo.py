"""`flashback-exporter demo`, scraped by a real Prometheus."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from exporter.metrics.families import METRICS
from tests.harness.scrapes import Scrape
from tests.real.databases import Database, Samples, Series, prometheus
from tests.real.programs import started, until

DEMO = (sys.executable, "-m", "exporter", "demo", "--web.listen-address=127.0.0.1:0")
NAMES = {family.name for family in METRICS}


@asynccontextmanager
async def demo(log: Path) -> AsyncIterator[str]:
    """Run the demo; yields the address that it prints."""
    async with started(*DEMO, log=log) as process:
        yield await process.printed(r"^Metrics: +http://(\S+)/metrics$")


class Watched:
    """The demo's page, and what Prometheus has stored from it."""

    def __init__(self, client: httpx.AsyncClient, database: Database) -> None:
        self._client = client
        self._database = database

    async def page(self) -> Samples:
        """The node and bucket metrics of the current page."""
        text = (await self._client.get("/metrics")).text
        return nodes_and_buckets(
            {Series.of(name, labels): value for name, labels, value in Scrape(text)}
        )

    async def while_it_held_still(self) -> tuple[Samples, Samples] | None:
        """The page and the samples stored from it, or None if the page changed in the meantime."""
        before, since = await self.page(), time.time()
        moment = await until(lambda: self._scraped_since(since))
        stored = await self._database.samples('{job="flashback"}', moment)
        return (before, nodes_and_buckets(stored)) if await self.page() == before else None

    async def _scraped_since(self, since: float) -> float | None:
        ups = await self._database.history("up")
        return next((at for at, value in ups.items() if at > since and value == 1), None)


def nodes_and_buckets(samples: Samples) -> Samples:
    """The samples without the exporter's own metrics, which change with each scrape."""
    return {series: value for series, value in samples.items() if series.name in NAMES}


@pytest.mark.long
async def test_demo_arrives_in_prometheus(prometheus_path: str, tmp_path: Path) -> None:
    """Prometheus stores the demo's three buckets exactly as they are on its page."""
    async with (
        demo(tmp_path / "demo.log") as address,
        prometheus(prometheus_path, tmp_path, {"flashback": address}, "2s") as database,
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client,
    ):
        page, stored = await until(Watched(client, database).while_it_held_still)
    assert stored == page
    for bucket_id in ("demo-media-eu", "demo-media-us"):
        assert stored[Series.of("flashback_bucket_nodes", {"bucket_id": bucket_id})] == 6
    assert stored[Series.of("flashback_bucket_up", {"bucket_id": "demo-backups"})] == 0
    assert sum(series.name == "flashback_node_uptime_ratio" for series in stored) == 12
