"""Backfills against the simulator in virtual time, and helpers to read their files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter import simulator
from exporter.backfill import Backfill, BackfillOptions, Failures
from exporter.config import Config, parse
from exporter.metrics.families import PREVIOUS_DAY
from exporter.simulator import InjectedFault, Scenario, World
from exporter.simulator.calls import ApiCall
from exporter.simulator.world import Row
from tests.harness.simulated_network import API_URL, connect_to
from tests.harness.virtual_loop import VirtualClock

UPTIME, LATENCY = (figure.name for figure in PREVIOUS_DAY)

BEFORE, LAST_DAY, YESTERDAY = date(2024, 1, 12), date(2024, 1, 13), date(2024, 1, 14)
"""At NOON, BEFORE and LAST_DAY are no longer exported, and YESTERDAY still is."""

NO_ROWS = Scenario("no-rows", "an answer without nodes", rows=lambda _rows, _call: [])

Figures = dict[int, float]
"""The values of a series by Unix time."""


def without_rows(*buckets: str) -> tuple[InjectedFault, ...]:
    """Make these buckets return no nodes on any day."""
    return (InjectedFault(NO_ROWS, 1.0, frozenset(buckets)),)


def without_rows_at_first(*buckets: str) -> tuple[InjectedFault, ...]:
    """Make these buckets return no nodes to their first request."""
    asked: set[str] = set()

    def rows(found: Sequence[Row], call: ApiCall) -> list[Row]:
        if call.bucket in asked:
            return list(found)
        asked.add(call.bucket)
        return []

    scenario = Scenario("no-rows-at-first", "no nodes at first", rows=rows)
    return (InjectedFault(scenario, 1.0, frozenset(buckets)),)


def document(api: str, *, buckets: str = "[b1, b2, b3]", discovery: str = "") -> str:
    """A configuration with one account and long timeouts."""
    lines = [
        "global:",
        f"  base_url: {api}",
        "  poll_interval: 2h",
        "  poll_timeout: 1h",
        "  max_requests_per_second: 1000",
        "accounts:",
        "  - name: main",
        "    authorization: {credentials: s3cret-token}",
        f"    buckets: {buckets}",
    ]
    return "\n".join([*lines, f"    discovery: {discovery}"] if discovery else lines)


class Steps:
    """A progress that counts."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def begin(self, total: int) -> None:
        self.total = total

    def advance(self, number: int) -> None:
        self.done += number


class Desk:
    """A directory that backfills write to, and the simulator that they use, in virtual time."""

    def __init__(
        self,
        api: simulator.Simulator,
        clock: VirtualClock,
        output: Path,
    ) -> None:
        self.api = api
        self.clock = clock
        self.output = output

    def job(
        self,
        first: date = BEFORE,
        last: date = LAST_DAY,
        *,
        buckets: tuple[str, ...] = (),
        labels: Mapping[str, str] | None = None,
        text: Callable[[str], str] = document,
        steps: Steps | None = None,
    ) -> Backfill:
        """A backfill that has not started."""
        order = BackfillOptions(first, last, frozenset(buckets), labels or {}, self.output)
        return Backfill(
            self.config(text),
            order,
            self.clock,
            Random(0),
            steps or Steps(),
            connect=connect_to(self.api),
        )

    def config(self, text: Callable[[str], str] = document) -> Config:
        """A configuration that uses the simulator."""
        return parse(text(API_URL), path=Path("config.yaml"), environ={})

    async def run(self, *days: date, **how: Any) -> Failures:  # noqa: ANN401 - as for `job`
        """Run a backfill and return its failures."""
        job = self.job(*days, **how)
        await job.run()
        assert job.is_finished
        return job.failures

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        async with self.clock.timeout(86400):
            while not holds():
                await self.clock.sleep(0.02)

    def files(self) -> list[str]:
        """The names of the finished files."""
        return sorted(each.name for each in self.output.glob("*.om"))

    def series(self, *files: str) -> dict[tuple[str, str, str], Figures]:
        """The samples of these files by metric, bucket and ip; a duplicate fails the test."""
        found: defaultdict[tuple[str, str, str], Figures] = defaultdict(dict)
        for file in files:
            for name, labels, value, at in samples((self.output / file).read_text()):
                figures = found[name, labels["bucket_id"], labels["ip"]]
                assert at not in figures
                figures[at] = value
        return dict(found)

    def buckets(self, file: str) -> set[str]:
        """The buckets that have samples in a file."""
        return {bucket for _, bucket, _ in self.series(file)}

    def failed(self) -> list[dict[str, str | None]]:
        """The content of failed.json."""
        found: list[dict[str, str | None]] = json.loads((self.output / "failed.json").read_bytes())
        return found

    def asked(self) -> int:
        """How many requests for bucket days were made so far."""
        return sum(self.api.record.calls.values())


def samples(text: str) -> list[tuple[str, dict[str, str], float, int]]:
    """The samples that the client library's strict parser finds in a text."""
    return [
        (each.name, each.labels, each.value, int(float(each.timestamp)))
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call] # the library's
        for each in family.samples
    ]


def truth(bucket: str, day: date) -> dict[tuple[str, str, str], float]:
    """The simulator's figures for a past day, by metric, bucket and ip."""
    nodes = World(0).stats(bucket, day, LATER)
    found = {(UPTIME, bucket, node.ip): node.uptime_percent / 100 for node in nodes}
    return found | {
        (LATENCY, bucket, node.ip): node.latency_average / 1000
        for node in nodes
        if node.latency_average is not None
    }


LATER = 1e11


def desk(
    directory: Path,
    scenarios: str | tuple[InjectedFault, ...] = "",
    **simulated: Any,  # noqa: ANN401 - the simulator's
) -> Desk:
    """A directory for backfills from a simulator, in virtual time from noon on."""
    clock = VirtualClock()
    api = simulator.Simulator(now=clock.wall, scenarios=scenarios, keep=100_000, **simulated)
    return Desk(api, clock, directory / "out")
