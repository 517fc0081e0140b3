"""Previous-day metrics, from the simulator's data to the metrics page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial

import pytest

from exporter.model import SECONDS_PER_DAY, Instant, Timing, midnight
from exporter.simulator import Simulator
from tests.harness.fakes import MIDNIGHT, NOON
from tests.harness.scrapes import Scrape
from tests.harness.stack import BUCKETS, document, running

pytestmark = pytest.mark.virtual_time

UPTIME = "flashback_node_uptime_previous_day_ratio"
LATENCY = "flashback_node_latency_average_previous_day_seconds"
FIELDS: dict[str, tuple[str, Callable[[float], float]]] = {
    UPTIME: ("perc_uptime", lambda percent: percent / 100),
    LATENCY: ("avg_latency_ms", lambda ms: ms / 1000),
}
YESTERDAY = Timing().newest_ended_day(NOON)
TODAY = Instant(NOON, 0).day


def all_known(page: Scrape) -> bool:
    """Whether every bucket has previous-day samples."""
    return {each.labels["bucket_id"] for each in page.all(UPTIME)} == {*BUCKETS}


def said(api: Simulator, name: str, day: date) -> set[tuple[str, str, str, float]]:
    """What the simulator returned for a day after its end, as samples of a metric."""
    field, in_base_units = FIELDS[name]
    return {
        (served.bucket, str(row["ip"]), str(row["host"]), in_base_units(value))
        for served in api.record.served
        if served.day == day and served.at >= midnight(day) + SECONDS_PER_DAY
        for row in served.rows
        if isinstance(value := row.get(field), int | float)
    }


def shown(page: Scrape, name: str) -> set[tuple[str, str, str, float]]:
    """The samples of a metric on the page."""
    return {
        (each.labels["bucket_id"], each.labels["ip"], each.labels["host"], each.value)
        for each in page.all(name)
    }


async def test_final_figures_are_those_of_the_day_before() -> None:
    """After a bucket's first good poll, yesterday is requested once and exported unchanged."""
    async with running() as stack:
        page = await stack.scrape_when(all_known)
        for name in FIELDS:
            assert shown(page, name)
            assert shown(page, name) == said(stack.api, name, YESTERDAY)
        await stack.clock.sleep(600)
        asked = [each.bucket for each in stack.api.record.served if each.day == YESTERDAY]
    assert sorted(asked) == sorted(BUCKETS)


async def test_next_day_takes_over_after_the_grace() -> None:
    """Yesterday's samples stay until the grace period ends; then the ended day replaces them."""
    settings = partial(document, poll_interval="5m", poll_timeout="5m", stale_after="1h")
    async with running(wall=MIDNIGHT - 600, text=settings) as stack:
        await stack.scrape_when(all_known)
        grace_ends = MIDNIGHT + 600
        page = await stack.scrape()
        while stack.clock.wall() < grace_ends:
            assert shown(page, UPTIME) == said(stack.api, UPTIME, YESTERDAY)
            await stack.clock.sleep(30)
            page = await stack.scrape()
        page = await stack.scrape_when(lambda page: not page.all(UPTIME))
        assert stack.clock.wall() >= grace_ends
        while not all_known(page):
            await stack.clock.sleep(60)
            page = await stack.scrape()
            assert shown(page, UPTIME) <= said(stack.api, UPTIME, TODAY)
        assert shown(page, UPTIME) == said(stack.api, UPTIME, TODAY)


async def test_empty_answer_is_asked_again_before_it_is_believed() -> None:
    """An empty previous day is requested again with back-off until it has data."""
    async with running("empty-past-days") as stack:

        def asked() -> int:
            return sum(each.day == YESTERDAY for each in stack.api.record.served)

        await stack.clock.sleep(1800)
        assert 3 * len(BUCKETS) <= asked() <= 6 * len(BUCKETS), (
            "after 0, 1, 3, 7, 15 and 31 minutes"
        )
        assert not (await stack.scrape()).all(UPTIME)
        stack.api.play("")
        page = await stack.scrape_when(all_known)
        assert shown(page, UPTIME) == said(stack.api, UPTIME, YESTERDAY)


async def test_api_without_past_days_does_no_harm() -> None:
    """If the API serves only today, buckets are up, and previous days are rarely requested."""
    async with running("no-past-days") as stack:
        await stack.clock.sleep(1800)
        page = await stack.scrape()
        refused = stack.api.record.answers[400]
    assert not page.all(UPTIME)
    assert not page.all(LATENCY)
    assert {each.value for each in page.all("flashback_bucket_up")} == {1.0}
    assert len(BUCKETS) <= refused <= 6 * len(BUCKETS), "after 0, 1, 3, 7, 15 and 31 minutes"
