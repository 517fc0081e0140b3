"""Runs the truth test for one seed on virtual time: through midnights, checking each scrape."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from exporter import simulator
from tests.harness.fakes import MIDNIGHT
from tests.truth.checker import Checker
from tests.truth.clock import SECONDS_PER_DAY, JumpingClock
from tests.truth.driver import Driver
from tests.truth.fixtures import buckets, first_plan
from tests.truth.harness import USER, Harness
from tests.truth.pages import Page, PageError, library_samples, page
from tests.truth.recorder import RecordedSimulator

BEFORE_MIDNIGHT = 300.0
AFTER_MIDNIGHT = 780.0
"""Seconds of virtual time before and after each midnight."""

BETWEEN_ACTIONS = 25.0
"""Seconds of virtual time, on average."""

LONGEST_GAP = 7.0
"""Seconds of virtual time between two scrapes, at most."""

LIBRARY_EVERY = 50
"""The client library's parsers check two of this many pages, one in each format."""

RECOVERY = 1200.0
"""Seconds of virtual time after the last fault within which all buckets must be up."""


@dataclass
class RunResult:
    """The result of a run."""

    seed: int
    scrapes: int = 0
    samples: int = 0
    midnights: int = 0
    calls: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        failures = ", ".join(f"{reason} {n}" for reason, n in sorted(self.failures.items()) if n)
        actions = ", ".join(f"{action} {n}" for action, n in sorted(self.actions.items()))
        return (
            f"seed {self.seed}: {self.scrapes} scrapes, {self.samples} samples, {self.calls} calls,"
            f" {self.midnights} midnights\n  failed attempts: {failures}\n  actions: {actions}"
        )

    def failure_message(self) -> str:
        """The message of a failed assertion."""
        happened = "\n  ".join(self.events[-25:])
        found = "\n".join(self.findings[:10])
        return f"seed {self.seed}, scrape {self.scrapes}:\n{found}\nwhat happened:\n  {happened}"


class _Run:
    """A run in progress."""

    def __init__(self, seed: int, harness: Harness) -> None:
        self.outcome = RunResult(seed)
        self._harness = harness
        self._rng = Random(seed)
        plan = first_plan(str(harness.directory))
        self._checker = Checker(harness.api.recorder, harness.clock, plan)
        self._driver = Driver(self._rng, harness, self._checker)
        self._next_action = 0.0

    async def through(self, midnights: int) -> None:
        """Run through some midnights, or until a finding."""
        self._driver.prepare()
        async with self._harness.serving(Random(self.outcome.seed)):
            while self.outcome.midnights < midnights and not self.outcome.findings:
                await self._cross()
            if not self.outcome.findings:
                await self._recover()
        self._add_up()

    async def _cross(self) -> None:
        """Run through the time around a midnight."""
        clock = self._harness.clock
        if self.outcome.midnights:
            self._leap()
        end = _next_midnight(clock.wall()) + AFTER_MIDNIGHT
        while clock.wall() < end and not self.outcome.findings:
            if clock.monotonic() >= self._next_action:
                await self._driver.step()
                self._next_action = clock.monotonic() + self._rng.expovariate(1 / BETWEEN_ACTIONS)
            await self._look()
            await clock.sleep(self._rng.uniform(0, LONGEST_GAP))
        self.outcome.midnights += 1

    def _leap(self) -> None:
        """Jump to just before the next midnight: suspend the machine or set its clock."""
        clock = self._harness.clock
        ahead = _next_midnight(clock.wall()) - BEFORE_MIDNIGHT - clock.wall()
        if self._rng.random() < 0.5:
            clock.suspend(ahead)
        else:
            clock.set_wall(clock.wall() + ahead)

    async def _recover(self) -> None:
        """End all faults, and wait until every bucket is up."""
        await self._driver.repair_everything()
        clock = self._harness.clock
        end = clock.monotonic() + RECOVERY
        down = {"": 0.0}
        while down and not self.outcome.findings:
            there = await self._look()
            down = {} if there is None else _not_up(there)
            if down and clock.monotonic() > end:
                self.outcome.findings.append(f"not well {RECOVERY:.0f}s after all faults: {down}")
            await clock.sleep(5)

    async def _look(self) -> Page | None:
        """Scrape and check a page."""
        number = self.outcome.scrapes
        openmetrics, gzip = number % 2 == 1, number % 5 == 0
        scraped = await self._harness.scrape(openmetrics=openmetrics, gzip=gzip)
        self.outcome.scrapes += 1
        try:
            seen = page(scraped.text, openmetrics=openmetrics)
        except PageError as error:
            self.outcome.findings.append(str(error))
            return None
        self.outcome.samples += sum(map(len, seen.samples.values()))
        self.outcome.findings += self._checker.findings(seen, scraped.at)
        if number % LIBRARY_EVERY < 2 and seen.flat() != library_samples(
            scraped.text, openmetrics=openmetrics
        ):
            self.outcome.findings.append("the client library reads another page")
        self._last = seen
        return seen

    def _add_up(self) -> None:
        recorder, outcome = self._harness.api.recorder, self.outcome
        outcome.calls = sum(recorder.calls_by_kind.values())
        outcome.actions, outcome.events = self._driver.counts, self._driver.events
        for series, value in self._last.of("flashback_api_request_failures_total").items():
            outcome.failures[series.label("reason")] += int(value)


async def run_truth_test(seed: int, *, midnights: int = 3) -> RunResult:
    """Run through some midnights. The first page with a finding ends the run."""
    clock = JumpingClock(MIDNIGHT - BEFORE_MIDNIGHT)
    rules = simulator.TokenRules(lifetime=400.0)
    api = RecordedSimulator(
        clock, seed=seed, buckets=buckets(), tokens=(), users=[USER], rules=rules
    )
    with tempfile.TemporaryDirectory() as directory:
        run = _Run(seed, Harness(api, clock, Path(directory)))
        await run.through(midnights)
        return run.outcome


def _next_midnight(wall: float) -> float:
    return (wall // SECONDS_PER_DAY + 1) * SECONDS_PER_DAY


def _not_up(seen: Page) -> dict[str, float]:
    """The buckets that are not up."""
    up = seen.by("flashback_bucket_up", "bucket_id")
    buckets_there = seen.by("flashback_bucket_info", "bucket_id")
    return {each: up.get(each, -1.0) for each in buckets_there if up.get(each) != 1}
