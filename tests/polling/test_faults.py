"""Long-term behaviour when the API fails or clocks jump."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exporter.simulator import CallKind
from tests.harness.fakes import MIDNIGHT
from tests.harness.scrapes import Scrape
from tests.harness.stack import BUCKETS, all_polled, document, running

pytestmark = pytest.mark.virtual_time

MANY = tuple(f"b{number}" for number in range(24))


def many(**settings: object) -> Callable[[str], str]:
    """A configuration with 24 buckets and a short interval."""
    chosen = {"poll_interval": "10s", "poll_timeout": "5s", **settings}
    return lambda api: document(api, buckets=MANY, **chosen)


def count_up(page: Scrape) -> int:
    """How many buckets are up."""
    return sum(sample.value == 1 for sample in page.all("flashback_bucket_up"))


@pytest.mark.parametrize("scenario", ["hang/share=1", "disconnect/share=1", "5xx/share=1"])
async def test_whole_api_in_trouble_recovers(scenario: str) -> None:
    """An outage of the API never exceeds the connection limit, and all buckets recover after it."""
    text = many(max_concurrent_requests=8, max_requests_per_second=100)
    async with running(text=text) as at_work:
        await at_work.scrape_when(lambda page: count_up(page) == len(MANY))
        at_work.api.play(scenario)
        await at_work.scrape_when(lambda page: count_up(page) == 0)
        assert at_work.api.record.max_concurrent[CallKind.STATS] <= 8
        at_work.api.play("")
        await at_work.scrape_when(lambda page: count_up(page) == len(MANY))
        assert at_work.api.record.max_concurrent[CallKind.STATS] <= 8


async def test_requests_keep_to_the_rate_also_in_trouble() -> None:
    """Polls and their retries together stay below max_requests_per_second."""
    text = many(max_requests_per_second=5)
    async with running("5xx/share=1", text=text) as at_work:
        record = at_work.api.record
        await at_work.wait_until(lambda: sum(record.calls.values()) > 20)
        start, before = at_work.clock.monotonic(), sum(record.calls.values())
        await at_work.wait_until(lambda: sum(record.calls.values()) > before + 100)
        assert at_work.clock.monotonic() - start >= 100 / 5 - 1


@pytest.mark.parametrize("seconds", [3600, 86400, 40 * 86400, -3600, -86400, -40 * 86400])
async def test_wall_clock_may_jump(seconds: float) -> None:
    """After a wall clock jump no bucket is stale, and polls request the new day."""
    async with running(text=lambda api: document(api, poll_interval="5s")) as at_work:
        await at_work.scrape_when(lambda page: count_up(page) == len(BUCKETS))
        at_work.clock.jump_wall(seconds)
        page = await at_work.scrape()
        assert count_up(page) == len(BUCKETS)
        day = at_work.clock.wall() // 86400 * 86400
        days = "flashback_bucket_stats_day_timestamp_seconds"
        page = await at_work.scrape_when(
            lambda page: {sample.value for sample in page.all(days)} == {day}
        )
        assert await at_work.status("/-/healthy") == 200


async def test_jump_over_midnight_into_an_empty_day() -> None:
    """If the clock jumps past midnight and the API has no data yet, yesterday's samples stay."""
    async with running("empty-new-day", wall=MIDNIGHT - 7200) as at_work:
        await at_work.scrape_when(all_polled)
        at_work.clock.jump_wall(7200 + 30)
        calls = sum(at_work.api.record.calls.values())
        await at_work.wait_until(
            lambda: sum(at_work.api.record.calls.values()) >= calls + 2 * len(BUCKETS)
        )
        page = await at_work.scrape()
        assert all(sample.value == 6 for sample in page.all("flashback_bucket_nodes"))
        assert count_up(page) == len(BUCKETS)
