"""Runs the exporter as a process against faults, and measures and scrapes it regularly."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import aiohttp
import psutil

from exporter import simulator
from exporter.simulator.server import serve
from tests.truth.counters import GrowingCounters
from tests.truth.flatness import MEGABYTE, Measured, Sample
from tests.truth.pages import Page, PageError, page
from tests.truth.plan import Plan, PlannedAccount, PlannedBucket
from tests.truth.series import bucket_series

ACCOUNTS, BUCKETS_EACH = 15, 100
INTERVAL, STALE_AFTER = 5, 60
LOOK_EVERY = 5.0  # seconds
FAULTS_FOR = 4.0  # seconds, on average
NO_FAULTS = 0.3
"""The share of the time without faults."""

MEMORY_FILE = "in-use"
"""The file to which the process writes how much memory it has allocated."""

TIMEOUTS = 60.0
"""Seconds for the process to start."""

FAULTS = (
    "5xx/share=0.3",
    "proxy-502/share=0.3",
    "not-found/share=0.05",
    "forbidden/share=0.05",
    "bad-request/share=0.05",
    "unauthorized/share=0.05",
    "unsuccessful/share=0.3",
    "not-json/share=0.3",
    "wrong-shape/share=0.3",
    "redirect/share=0.3",
    "truncated/share=0.2",
    "disconnect/share=0.2",
    "hang/share=0.02",
    "trickle/share=0.02",
    "churn",
    "duplicate-rows",
    "hostile-strings/share=0.5",
    "missing-fields",
    "extreme-numbers",
    "unknown-status",
    "gzip",
    "hundreds-of-nodes/share=0.01",
    "huge-body/share=0.5/bucket=a1-b0",
    "gzip-bomb/share=0.5/bucket=a2-b0",
    "deep-json/share=0.5/bucket=a3-b0",
    "429-storm/share=1/bucket=a4-b0",
    "429-storm-date/share=1/bucket=a5-b0",
)
"""Refusals are rare, because they delay the next poll, as does a 429 for its whole account."""


async def run_soak(
    polls: int, seconds: float, seed: int, directory: Path, say: Callable[[str], None]
) -> Measured:
    """Measure until `polls` polls were made or `seconds` have passed."""
    api = simulator.Simulator(now=time.time, seed=seed, keep=100)
    async with serve(api) as url:
        config = directory / "config.yaml"
        config.write_text(_plan().text(url), "utf-8")
        async with _exporter(config, directory) as process, asyncio.TaskGroup() as group:
            playing = group.create_task(_play_faults(api, Random(seed)))
            try:
                address = await _address(directory / "log", process)
                watch = _Watch(psutil.Process(process.pid), directory / MEMORY_FILE, address, say)
                await watch.until(polls, time.monotonic() + seconds, process)
            finally:
                playing.cancel()
    return watch.measured


class _Watch:
    """Measures the process and checks its pages."""

    def __init__(
        self,
        process: psutil.Process,
        memory_file: Path,
        address: str,
        say: Callable[[str], None],
    ) -> None:
        self.measured = Measured()
        self._process = process
        self._memory_file = memory_file
        self._address = address
        self._say = say
        self._counters = GrowingCounters()

    async def until(self, polls: int, end: float, process: Process) -> None:
        """Continue until `polls` polls were made, until `end`, or until a finding."""
        async with aiohttp.ClientSession(self._address, trust_env=False) as session:
            made = 0
            while made < polls and time.monotonic() < end and not self.measured.untrue:
                await asyncio.sleep(LOOK_EVERY)
                try:
                    made = await self._look(session)
                except (aiohttp.ClientError, psutil.NoSuchProcess) as error:
                    self.measured.untrue.append(f"{error!r}, exit code {process.returncode}")

    async def _look(self, session: aiohttp.ClientSession) -> int:
        async with session.get("/metrics") as answer:
            text = await answer.text()
        try:
            seen = page(text, openmetrics=False)
        except PageError as error:
            self.measured.untrue.append(str(error))
            return 0
        self.measured.untrue += self._untrue(seen)
        sample = Sample(
            _polls(seen),
            self._process.memory_info().rss,
            int(self._memory_file.read_text("ascii")),
            self._process.num_fds(),
            len(seen.by("flashback_node_uptime_previous_day_ratio", "bucket_id")),
        )
        self.measured.samples.append(sample)
        self.measured.failures = _failures(seen)
        up = sum(seen.by("flashback_bucket_up", "bucket_id").values())
        memory = f"{sample.in_use / MEGABYTE:.1f} of {sample.rss / MEGABYTE:.1f} MB in use"
        days = f"{sample.previous_days} previous days"
        self._say(f"{sample.polls:,} polls, {memory}, {sample.fds} fds, {up:.0f} up, {days}")
        return sample.polls

    def _untrue(self, seen: Page) -> Iterator[str]:
        yield from self._counters.findings(seen)
        shown = bucket_series(seen)
        if len(shown) != ACCOUNTS * BUCKETS_EACH:
            yield f"there are {len(shown)} buckets"
        for bucket, series in shown.items():
            for finding in series.findings(Plan(()).known_statuses):
                yield f"{bucket!r}: {finding}"


def _plan() -> Plan:
    """Many buckets in many accounts, with the shortest poll interval."""
    return Plan(
        tuple(
            PlannedAccount(
                f"a{number}",
                {"authorization": {"credentials": f"t{number}"}},
                tuple(PlannedBucket(f"a{number}-b{each}") for each in range(BUCKETS_EACH)),
                None,
                INTERVAL,
                STALE_AFTER,
            )
            for number in range(ACCOUNTS)
        ),
        poll_timeout=2,
        recheck_interval=10,
        max_concurrent=64,
    )


@asynccontextmanager
async def _exporter(config: Path, directory: Path) -> AsyncIterator[Process]:
    """Run the exporter until the `with` block ends. Its log and memory file are in `directory`."""
    with (directory / "log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.truth.memory_probe", str(directory / MEMORY_FILE)),
            *("run", f"--config.file={config}"),
            "--web.listen-address=127.0.0.1:0",
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _address(log: Path, process: Process) -> str:
    """Wait until the exporter logs the address on which it listens."""
    async with asyncio.timeout(TIMEOUTS):
        while True:
            text = log.read_text("utf-8")  # noqa: ASYNC240 - a small local file
            found = re.search(r"event=listening address=(\S+)", text)
            if found:
                return f"http://{found[1]}"
            if process.returncode is not None:
                raise RuntimeError(f"the exporter did not start: {text}")
            await asyncio.sleep(0.1)


async def _play_faults(api: simulator.Simulator, rng: Random) -> None:
    """Play another mix of faults every few seconds."""
    while True:
        mix = rng.sample(FAULTS, rng.randint(1, 3)) if rng.random() > NO_FAULTS else []
        api.play(",".join(mix))
        await asyncio.sleep(rng.expovariate(1 / FAULTS_FOR))


def _polls(seen: Page) -> int:
    """The number of polls that have ended."""
    attempts = sum(seen.of("flashback_api_request_duration_seconds_count").values())
    return round(attempts - sum(seen.of("flashback_api_retries_total").values()))


def _failures(seen: Page) -> dict[str, int]:
    reasons: Counter[str] = Counter()
    for series, value in seen.of("flashback_api_request_failures_total").items():
        reasons[series.label("reason")] += int(value)
    return dict(reasons)
