"""One day that is gone through: who is asked, what is written, what is remembered.

How questions are asked is for `fetch`, what a file looks like for `dayfile`, where it goes for
`output`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import NamedTuple

import structlog

from exporter.backfill.dayfile import DayFile, sample_times, shown_until
from exporter.backfill.failures import FailedBucket, Failures
from exporter.backfill.fetch import Answer, Fetcher
from exporter.backfill.output import DayRecord, Output, Part
from exporter.blocking import in_thread
from exporter.model import ApiError, Bucket, Timing
from exporter.upstream.discovery import Assignment

_log = structlog.get_logger()


class Missing(NamedTuple):
    """A bucket to be asked, its timing, and from when on its samples are missing (Unix time)."""

    bucket: Bucket
    timing: Timing
    since: float


def missing(
    day: date, record: DayRecord, assignments: Iterable[Assignment], now: float
) -> Iterator[Missing]:
    """The buckets of which a day is not there, or not to its end although that has come."""
    ends = record.since()
    for bucket, timing in assignments:
        since = ends.get(bucket.id)
        if since is None:
            yield Missing(bucket, timing, -math.inf)
        elif since < shown_until(day, timing) <= now:
            yield Missing(bucket, timing, since)


class Day:
    """A day at work; it may be asked for until `now`, Unix time."""

    def __init__(
        self, day: date, record: DayRecord, asked: Sequence[Missing], now: float, failures: Failures
    ) -> None:
        self._day = day
        self._record = record
        self._asked = {each.bucket.id: each for each in asked}
        self._now = now
        self._failures = failures
        self._with_figures: list[str] = []

    async def process(self, fetcher: Fetcher, output: Output, suffix: str) -> str | None:
        """Ask for it and write it; the name of the file, if there was anything to write.

        `suffix` are the labels that every series has besides its own.
        """
        failures, oddities = self._failures.count, fetcher.drift_counter.oddities
        with DayFile(output.scratch, suffix) as file:
            buckets = [each.bucket for each in self._asked.values()]
            await fetcher.day(
                self._day, buckets, lambda bucket, came: self._take(file, bucket, came)
            )
            name = await self._publish(file, output)
        _log.info(
            "day_finished",
            day=str(self._day),
            file=name,
            asked=len(buckets),
            with_figures=len(self._with_figures),
            failed=self._failures.count - failures,
            oddities=fetcher.drift_counter.oddities - oddities,
        )
        return name

    def _take(self, file: DayFile, bucket: Bucket, answer: Answer) -> None:
        if isinstance(answer, ApiError):
            self._failures.note(FailedBucket(bucket.account, bucket.id, self._day, answer))
            return
        _, timing, since = self._asked[bucket.id]
        times = sample_times(self._day, bucket.id, timing, since, self._now)
        if file.add(bucket.id, answer.nodes, times):
            self._with_figures.append(bucket.id)
        elif shown_until(self._day, timing) <= self._now:  # before, figures may still come
            self._record.without_figures.append(bucket.id)

    async def _publish(self, file: DayFile, output: Output) -> str | None:
        """Let the file appear, and first of all remember what it has."""
        if not self._with_figures:
            await in_thread(lambda: output.remember(self._day, self._record))
            return None
        whole = await file.joined()
        name = output.free_name(self._day)
        ends = max(shown_until(self._day, each.timing) for each in self._asked.values())
        until = None if self._now >= ends else self._now
        self._record.parts[name] = Part(self._with_figures, until)
        await in_thread(lambda: output.remember(self._day, self._record))
        await in_thread(lambda: output.publish(whole, name))
        return name
