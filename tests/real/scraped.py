"""Both sides of a scrape: the page as it was sent, and the samples that the database stored."""

from __future__ import annotations

import time
from dataclasses import dataclass

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from tests.real.databases import Database, Samples, Series
from tests.real.programs import until
from tests.real.relay import Exchange, Relay

CLOCK_TOLERANCE = 0.01
"""Seconds by which a scrape's timestamp may be after the scrape, because of rounding."""


@dataclass(frozen=True, slots=True)
class Scraped:
    """One scrape."""

    exchange: Exchange
    at: float  # timestamp of the samples in the database, Unix time
    page: Samples
    stored: Samples  # the samples in the database at that time
    own: dict[str, float]  # samples that the database adds: `up` and `scrape_*`


def page_samples(exchange: Exchange) -> Samples:
    """The samples of a page in either format. Fails if a series is duplicated."""
    openmetrics = exchange.answered.get_content_type() == "application/openmetrics-text"
    families = (openmetrics_families if openmetrics else text_families)(exchange.text)
    found = [
        (Series.of(sample.name, sample.labels), sample.value)
        for family in families
        for sample in family.samples
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


async def scrapes(database: Database, job: str, relay: Relay) -> list[Scraped]:
    """All completed scrapes of a job."""
    ups = await database.history(f'up{{job="{job}"}}')
    return [
        await _scraped(database, job, exchange, moments[-1])
        for exchange in relay.exchanges
        if max(ups, default=0) > exchange.at + CLOCK_TOLERANCE
        for moments in [[at for at in ups if at <= exchange.at + CLOCK_TOLERANCE]]
    ]


async def further_scrapes(database: Database, count: int, *jobs: str) -> None:
    """Wait until `count` more scrapes of each job have started and ended."""
    since = time.time()

    async def ask() -> bool | None:
        ups = [await database.history(f'up{{job="{job}"}}') for job in jobs]
        return all(sum(at > since for at in each) > count for each in ups) or None

    await until(ask)


async def _scraped(database: Database, job: str, exchange: Exchange, at: float) -> Scraped:
    found = await database.samples(f'{{job="{job}"}}', at)
    own = {
        series.name: value
        for series, value in found.items()
        if series.name == "up" or series.name.startswith("scrape_")
    }
    stored = {series: value for series, value in found.items() if series.name not in own}
    return Scraped(exchange, at, page_samples(exchange), stored, own)
