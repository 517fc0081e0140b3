"""A backfill from its order to its files, day by day.

Which buckets are asked for is decided in `buckets`, what becomes of a day in `day`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import Protocol

from exporter.backfill.buckets import assignments
from exporter.backfill.day import Day, missing
from exporter.backfill.failures import Failures
from exporter.backfill.fetch import Fetcher
from exporter.backfill.labels import label_suffix
from exporter.backfill.output import FAILED, Output
from exporter.backfill.span import days
from exporter.blocking import in_thread
from exporter.clock import Clock
from exporter.config import Config
from exporter.upstream.discovery import Assignment


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """What is wanted: past days from `first` to `last`, of these buckets (none: of all)."""

    first: date
    last: date
    buckets: frozenset[str]
    labels: Mapping[str, str]
    output: Path


class Progress(Protocol):
    """Who is told how far it is."""

    def begin(self, total: int) -> None:
        """There are so many days of buckets."""
        ...

    def advance(self, number: int) -> None:
        """So many more of them are done with."""
        ...


class Backfill:
    """One run. Afterwards `failures`, `files` and `is_finished` say what came of it."""

    def __init__(
        self,
        config: Config,
        order: BackfillOptions,
        clock: Clock,
        chance: Random,
        progress: Progress,
    ) -> None:
        self.failures = Failures()
        self.files = 0
        self.is_finished = False
        self._config = config
        self._order = order
        self._clock = clock
        self._chance = chance
        self._progress = progress
        self._output = Output(order.output)
        self._suffix = label_suffix(order.labels)

    async def run(self) -> None:
        """Go through the days. Raises OutputError and UnknownBucketsError."""
        fetcher = Fetcher(self._config, self._clock, self._chance, self._advance)
        async with fetcher.connected():
            with ExitStack() as stack:
                held = self._output.held(self._order.labels)
                await in_thread(lambda: stack.enter_context(held))
                failed = self._output.scratch / FAILED
                try:
                    with failed.open("w") as stream, self.failures.written_to(stream):
                        await self._go_through_days(fetcher)
                except asyncio.CancelledError:
                    self._output.put(failed, FAILED)
                    raise
                self._output.put(failed, FAILED)
        self.is_finished = True

    async def _go_through_days(self, fetcher: Fetcher) -> None:
        wanted = self._order.buckets
        assigned = await assignments(self._config, wanted, fetcher, self.failures)
        period = list(days(self._order.first, self._order.last))
        self._progress.begin(len(period) * len(assigned))
        for day in period:
            await self._go_through(day, assigned, fetcher)

    async def _go_through(self, day: date, assigned: list[Assignment], fetcher: Fetcher) -> None:
        now = self._clock.now().wall
        record = await in_thread(lambda: self._output.record(day))
        asked = list(missing(day, record, assigned, now))
        self._progress.advance(len(assigned) - len(asked))
        if asked:
            work = Day(day, record, asked, now, self.failures)
            name = await work.process(fetcher, self._output, self._suffix)
            self.files += name is not None

    def _advance(self) -> None:
        self._progress.advance(1)
