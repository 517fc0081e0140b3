"""What a real Prometheus remembers of hours in the exporter's life: midnight, and silence.

The exporter's time runs faster than Prometheus's, so each scrape is a minute or so after the one
before it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

from exporter.metrics.families import FAMILIES
from exporter.simulator import Simulator
from tests.harness.fakes import MIDNIGHT
from tests.harness.stack import BUCKETS, FIELDS, all_polled, document, running
from tests.real.databases import Database, PollHistory, Series, prometheus
from tests.real.programs import until
from tests.real.relay import Relay, relaying

NODES = "flashback_bucket_nodes"
STATS_DAY = "flashback_bucket_stats_day_timestamp_seconds"
UPTIME = "flashback_node_uptime_ratio"
VANISHING = {NODES, STATS_DAY} | {
    family.name for family in FAMILIES if family.name.startswith("flashback_node_")
}
"""What must not be shown once it is stale."""

PATIENT = partial(document, poll_timeout="50s", rollover_grace="6m")
"""As configuration: a poll may take long, as the time of these tests runs so fast."""


async def first_connection(relay: Relay) -> None:
    """Wait until Prometheus scrapes; so far it gets no answer."""

    async def ask() -> bool | None:
        return bool(relay.connections) or None

    await until(ask)


class Remembered:
    """Everything that Prometheus stored while it got answers."""

    def __init__(self, histories: dict[Series, PollHistory]) -> None:
        ups = histories[Series.of("up", {})]
        self.moments = {at for at, value in ups.items() if value == 1}
        self._histories = histories

    def all(self, name: str) -> list[PollHistory]:
        """The histories of a metric that each bucket has once."""
        found = [history for series, history in self._histories.items() if series.name == name]
        assert len(found) == len(BUCKETS)
        return found

    def node_values(self) -> list[tuple[Series, PollHistory]]:
        """The uptimes and latencies of all nodes."""
        found = [each for each in self._histories.items() if each[0].name in FIELDS]
        assert len(found) == len(FIELDS) * 6 * len(BUCKETS)
        return found

    def days(self, bucket: str) -> PollHistory:
        """To which day a bucket's numbers belonged."""
        return self._histories[Series.of(STATS_DAY, {"bucket_id": bucket})]


def was_served_that_day(api: Simulator, series: Series, day: float, value: float) -> bool:
    """Whether the API said so of this node, when it was asked about that day."""
    field, in_base_units = FIELDS[series.name]
    identity = (series.label("ip"), series.label("host"))
    date = datetime.fromtimestamp(day, UTC).date()
    served = (each.by_identity() for each in api.record.served_to(series.label("bucket_id"), date))
    sent = (rows[identity][field] for rows in served if identity in rows)
    return value in {in_base_units(each) for each in sent if isinstance(each, int | float)}


async def test_midnight_leaves_no_gap_and_no_foreign_value(
    prometheus_path: str, tmp_path: Path
) -> None:
    """An API that has nothing for the first minutes of a day leaves a history without a hole."""
    async with (
        relaying() as (relay, address),
        prometheus(prometheus_path, tmp_path, {"flashback": address}, "200ms") as database,
    ):
        await first_connection(relay)
        async with running(
            "empty-new-day", wall=MIDNIGHT - 120, speed=120, text=PATIENT
        ) as at_work:
            await at_work.scrape_when(all_polled)
            relay.plug(at_work.address)
            await until(partial(the_next_day, database))
            remembered = Remembered(await database.histories('{job="flashback"}'))
    assert len(remembered.moments) > 15
    for history in remembered.all(NODES):
        assert set(history) == remembered.moments
        assert set(history.values()) == {6}
    for history in remembered.all(STATS_DAY):
        assert set(history) == remembered.moments
        steps = [late - early for early, late in pairwise(history.values()) if late != early]
        assert steps == [86400]
    for series, history in remembered.node_values():
        assert set(history) == remembered.moments
        days = remembered.days(series.label("bucket_id"))
        for at, value in history.items():
            assert was_served_that_day(at_work.api, series, days[at], value)


async def the_next_day(database: Database) -> bool | None:
    """Whether each bucket has shown readings of the new day a few times."""
    histories = (await database.histories(STATS_DAY)).values()
    today = [[at for at, day in history.items() if day == MIDNIGHT] for history in histories]
    return [len(moments) > 5 for moments in today] == [True] * len(BUCKETS) or None


async def test_stale_numbers_are_gone_at_once(prometheus_path: str, tmp_path: Path) -> None:
    """Once an API has hung for `stale_after`, a query finds no number of its nodes any more.

    Prometheus would show the last ones for five minutes, were they just left to be forgotten.
    """
    async with (
        relaying() as (relay, address),
        prometheus(prometheus_path, tmp_path, {"flashback": address}, "200ms") as database,
        running(speed=120, text=PATIENT) as at_work,
    ):
        relay.plug(at_work.address)
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
    """Whether a query finds so many series of a name just now."""
    return len(await database.samples(name, time.time())) == count or None
