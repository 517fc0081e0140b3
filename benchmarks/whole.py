"""The whole service in a process of its own, with instruments: what `crowd` measures.

The instruments are wrapped around the schedule and the event loop from outside, and cost little.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from asyncio.events import Handle
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import psutil
import structlog

from benchmarks import sample, stub
from exporter.clock import SystemClock
from exporter.config import load
from exporter.model import Failure
from exporter.schedule import Schedule
from exporter.service import Options, serving
from exporter.web.listen import ListenAddress

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from exporter.config import Config
    from exporter.model import Instant, Outcome
    from exporter.schedule import Slot

INTERVAL = 60.0
HEADROOM = 2.0  # the first round and the second must not meet
CONFIG = """\
global: {{max_requests_per_second: {rate}}}
accounts:
  - name: main
    base_url: http://127.0.0.1:{port}
    authorization: {{credentials_file: token}}
    poll_interval: {interval:g}s
    buckets: {buckets}
"""


class Figures(NamedTuple):
    """What was found between begin and end."""

    cpu_share: float  # of a core
    bytes: float  # resident at the end
    grown: float  # bytes since before the configuration was read
    late: float  # seconds after its due time that a poll started, the latest of all
    held: float  # CPU seconds that the event loop spent in one callback, the longest
    failures: float
    polls: float
    rate: float  # polls a second
    first_poll: float  # seconds from before the configuration was read


class Instruments:
    """Takes the measures while the service runs."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.first_poll = math.nan
        self.base = psutil.Process().memory_info().rss
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self.started, self.cpu_started = time.monotonic(), time.process_time()
        self.late = self.held = 0.0
        self.polls = self.failures = 0

    def figures(self) -> Figures:
        """What was found since the last restart."""
        seconds = time.monotonic() - self.started
        rss = psutil.Process().memory_info().rss
        return Figures(
            (time.process_time() - self.cpu_started) / seconds,
            rss,
            rss - self.base,
            self.late,
            self.held,
            self.failures,
            self.polls,
            max(self.polls, 1) / seconds,
            self.first_poll,
        )

    def attach(self, stack: ExitStack) -> None:
        """Wrap what is measured."""
        take_due, hand_back, run_handle = Schedule.take_due, Schedule.hand_back, Handle._run  # noqa: SLF001 - the loop tells nobody else

        def watched_take(schedule: Schedule, now: float) -> Slot | None:
            slot = take_due(schedule, now)
            if slot is not None:
                self.late = max(self.late, now - slot.due)
                if math.isnan(self.first_poll):
                    self.first_poll = time.monotonic() - self.began
            return slot

        def watched_back(schedule: Schedule, slot: Slot, outcome: Outcome, now: Instant) -> bool:
            self.polls += 1
            self.failures += isinstance(outcome, Failure)
            return hand_back(schedule, slot, outcome, now)

        def watched_run(handle: Handle) -> None:
            started = time.thread_time()
            run_handle(handle)
            self.held = max(self.held, time.thread_time() - started)

        stack.enter_context(patch.object(Schedule, "take_due", watched_take))
        stack.enter_context(patch.object(Schedule, "hand_back", watched_back))
        stack.enter_context(patch.object(Handle, "_run", watched_run))


def run(buckets: int, api_port: int, pipe: Connection) -> None:
    """Serve, and measure between what `pipe` says is the begin and the end."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with TemporaryDirectory() as folder, ExitStack() as stack:
        file = _written(Path(folder), buckets, api_port)
        instruments = Instruments()
        instruments.attach(stack)
        asyncio.run(_serve(partial(load, file, {}), instruments, pipe))


def _written(folder: Path, buckets: int, api_port: int) -> Path:
    (folder / "token").write_text("e30.e30.e30", "utf-8")
    text = CONFIG.format(
        rate=math.ceil(max(buckets / INTERVAL * HEADROOM, 10)),
        port=api_port,
        interval=INTERVAL,
        buckets="".join(f"\n      - {sample.bucket(number).id}" for number in range(buckets)),
    )
    file = folder / "config.yaml"
    file.write_text(text, "utf-8")
    return file


async def _serve(source: Callable[[], Config], instruments: Instruments, pipe: Connection) -> None:
    options = Options((ListenAddress("127.0.0.1", 0),))
    chance = Random()  # noqa: S311 - spreads retries
    async with serving(source, options, SystemClock(), chance, asyncio.Event()) as addresses:
        pipe.send(addresses[0].port)
        await _told(pipe)
        instruments.restart()
        await _told(pipe)
        pipe.send(tuple(instruments.figures()))
        await stub.closing(pipe)


async def _told(pipe: Connection) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.fileno(), told.set)
    await told.wait()
    loop.remove_reader(pipe.fileno())
    pipe.recv()
