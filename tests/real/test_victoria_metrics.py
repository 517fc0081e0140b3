"""What a real VictoriaMetrics stores after a scrape."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.web.metrics_handler import TEXT_TYPE
from tests.real.databases import victoria_metrics
from tests.real.everything import complete, exporter_of_everything
from tests.real.relay import relaying
from tests.real.scraped import further_scrapes, scrapes


@pytest.mark.long
async def test_every_sample_is_stored_and_nothing_else(
    victoria_metrics_path: str, tmp_path: Path
) -> None:
    """After each scrape, a query finds exactly the series and values of that page."""
    async with (
        relaying() as (relay, address),
        exporter_of_everything() as at_work,
        victoria_metrics(victoria_metrics_path, tmp_path, {"flashback": address}, "2s") as database,
    ):
        await complete(at_work)
        relay.plug(at_work.address)
        await further_scrapes(database, 2, "flashback")
        seen = await scrapes(database, "flashback", relay)
    assert len(seen) >= 2
    for scraped in seen:
        assert len(scraped.page) > 2500
        # VictoriaMetrics stores numbers as decimal mantissas per block, with twelve digits or more.
        assert scraped.stored == pytest.approx(scraped.page, rel=1e-11, abs=0)
        assert scraped.own["up"] == 1
        assert scraped.own["scrape_samples_scraped"] == len(scraped.page)
        assert scraped.exchange.answered["Content-Type"] == TEXT_TYPE
        assert scraped.exchange.answered["Content-Encoding"] == "gzip"
