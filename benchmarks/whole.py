"""The whole service in a process of its own, with instruments: what `crowd` and `changes` measure.

The instruments are wrapped around the schedule and the event loop from outside, and cost little.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from asyncio.events import Handle
from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

import psutil
import structlog

from benchmarks import sample
from exporter.app import Options, run_app
from exporter.clock import SystemClock
from exporter.config import Config, load
from exporter.model import FailedPoll, Instant, PollResult
from exporter.polling.previous_day import PreviousDayQueue
from exporter.polling.scheduler import Scheduler
from exporter.polling.targets import PreparedTargets, Target, Targets
from exporter.web.server import ListenAddress

INTERVAL = 60.0
HEADROOM = 2.0  # the first round and the second must not meet
CONFIG = """\
global: {{max_requests_per_second: {rate}, base_url: "http://127.0.0.1:{port}"}}
accounts:
"""
ACCOUNT = """\
  - name: account-{number}
    authorization: {{credentials_file: token}}
    poll_interval: {interval:g}s
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
    planned: float  # likewise, until all buckets were known and in the schedule
    planning: float  # CPU seconds of the process in that time


class Instruments:
    """Takes the measures while the service runs."""

    def __init__(self, buckets: int) -> None:
        self.began = time.monotonic()
        self._cpu_began = time.process_time()
        self.first_poll = self.planned = self.planning = math.nan
        self.all_planned = asyncio.Event()
        self.settled = asyncio.Event()
        """Since the restart there was a moment in which nothing was due, not even one."""
        self._buckets = buckets
        self.base = psutil.Process().memory_info().rss
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self.started, self.cpu_started = time.monotonic(), time.process_time()
        self.late = self.held = 0.0
        self.polls = self.failures = 0
        self.settled.clear()

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
            self.planned,
            self.planning,
        )

    def attach(self, stack: ExitStack) -> None:
        """Wrap what is measured."""
        self._attach_settling(stack)
        take_due, hand_back, hold = Scheduler.pop_due, Scheduler.complete, Targets.sync
        run_handle = Handle._run  # noqa: SLF001 - the loop tells nobody else

        def watched_take(scheduler: Scheduler, now: float, account: str) -> Target | None:
            slot = take_due(scheduler, now, account)
            if slot is not None:
                self.late = max(self.late, now - slot.due)
                if math.isnan(self.first_poll):
                    self.first_poll = time.monotonic() - self.began
            return slot

        def watched_back(
            scheduler: Scheduler, slot: Target, outcome: PollResult, now: Instant
        ) -> bool:
            self.polls += 1
            self.failures += isinstance(outcome, FailedPoll)
            return hand_back(scheduler, slot, outcome, now)

        def watched_hold(targets: Targets, prepared: PreparedTargets, now: Instant) -> None:
            hold(targets, prepared, now)
            if len(targets) >= self._buckets and not self.all_planned.is_set():
                self.planned = time.monotonic() - self.began
                self.planning = time.process_time() - self._cpu_began
                self.all_planned.set()

        def watched_run(handle: Handle) -> None:
            started = time.thread_time()
            run_handle(handle)
            self.held = max(self.held, time.thread_time() - started)

        stack.enter_context(patch.object(Scheduler, "pop_due", watched_take))
        stack.enter_context(patch.object(Scheduler, "complete", watched_back))
        stack.enter_context(patch.object(Targets, "sync", watched_hold))
        stack.enter_context(patch.object(Handle, "_run", watched_run))

    def _attach_settling(self, stack: ExitStack) -> None:
        due_accounts, wanted = Scheduler.due_accounts, PreviousDayQueue.wanted
        is_due = [True]

        def watched_due(scheduler: Scheduler, now: float) -> dict[str, float]:
            accounts = due_accounts(scheduler, now)
            is_due[0] = bool(accounts)
            return accounts

        def watched_wanted(days: PreviousDayQueue, paused: Collection[str]) -> dict[str, float]:
            accounts = wanted(days, paused)
            if not accounts and not is_due[0]:
                self.settled.set()
            return accounts

        stack.enter_context(patch.object(Scheduler, "due_accounts", watched_due))
        stack.enter_context(patch.object(PreviousDayQueue, "wanted", watched_wanted))


def run(buckets: int, api_port: int, pipe: Connection, *, finders: int = 0) -> None:
    """Serve, and measure as `pipe` says; the buckets are listed, or found by so many accounts.

    Told "begin" it counts from then on, "end" has the figures sent, "planned" likewise as soon as
    all buckets are known, "settled" as soon as nothing is left to ask for but what is due each
    minute. Told "rename" it gives each listed bucket another name.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with TemporaryDirectory() as folder, ExitStack() as stack:
        Path(folder, "token").write_text("e30.e30.e30", "utf-8")
        file = Path(folder, "config.yaml")
        write = partial(_write, file, buckets, api_port, finders=finders)
        write("bucket")
        instruments = Instruments(buckets)
        instruments.attach(stack)
        asyncio.run(_serve(partial(load, file, {}), instruments, write, pipe))


def _write(file: Path, buckets: int, api_port: int, name: str, *, finders: int) -> None:
    head = CONFIG.format(rate=math.ceil(max(buckets / INTERVAL * HEADROOM, 10)), port=api_port)
    entries = (
        f"\n      - {{id: {sample.bucket(number).id}, name: {name}-{number}}}"
        for number in range(buckets)
    )
    sources = [f'discovery: {{workspace_id: "{number}"}}' for number in range(finders)]
    accounts = (
        f"{ACCOUNT.format(number=number, interval=INTERVAL)}    {source}\n"
        for number, source in enumerate(sources or [f"buckets: {''.join(entries)}"])
    )
    file.write_text(head + "".join(accounts), "utf-8")


async def _serve(
    source: Callable[[], Config],
    instruments: Instruments,
    write: Callable[[str], None],
    pipe: Connection,
) -> None:
    options = Options((ListenAddress("127.0.0.1", 0),), lifecycle=True)
    chance = Random()  # noqa: S311 - spreads retries
    async with run_app(source, options, SystemClock(), chance, asyncio.Event()) as addresses:
        pipe.send(addresses[0].port)
        while (word := await _told(pipe)) is not None:
            if word == "begin":
                instruments.restart()
            elif word == "rename":
                write("renamed")
            else:
                if word == "planned":
                    await instruments.all_planned.wait()
                elif word == "settled":
                    await instruments.settled.wait()
                pipe.send(tuple(instruments.figures()))


async def _told(pipe: Connection) -> str | None:
    """The next word; None once the other end is gone."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.fileno(), told.set)
    await told.wait()
    loop.remove_reader(pipe.fileno())
    try:
        return str(pipe.recv())
    except EOFError:
        return None
