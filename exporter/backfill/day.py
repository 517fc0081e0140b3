"""One day of a backfill: who is asked, what is written, what is remembered, and its file.

The file grows as a scratch file per metric: nothing is held in memory, whatever the number of
buckets, and no two metrics interleave. The grid of its times is Unix time's own, so that whichever
run writes a sample puts it at the same time. How requests are made is for `fetch`, where the file
goes for `output`.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import structlog

from exporter.backfill.failures import FailedBucket, Failures
from exporter.backfill.fetch import Answer, Fetcher
from exporter.backfill.output import DayRecord, Output, Part
from exporter.blocking import in_thread
from exporter.config.values import LABEL_NAME_PATTERN, label_value
from exporter.metrics.families import PREVIOUS_DAY, NodeFigure, label_pair, node_labels
from exporter.model import (
    PREVIOUS_DAY_SPREAD,
    SECONDS_PER_DAY,
    ApiError,
    Bucket,
    Node,
    Timing,
    midnight,
)
from exporter.upstream.discovery import Assignment

STEP = 240
"""Seconds between two samples: Prometheus looks back five minutes for one."""


def days(first: date, last: date) -> Iterator[date]:
    """Each day from the first to the last."""
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def first_moment_to_ask(day: date, grace: float) -> float:
    """From when a day can be had, Unix time: closed for so long that every bucket shows it."""
    return midnight(day) + SECONDS_PER_DAY + grace + PREVIOUS_DAY_SPREAD + STEP


def shown_until(day: date, timing: Timing) -> float:
    """Until before when a day's figures are shown, of whichever bucket; Unix time."""
    return timing.previous_day_shown_between(day, "")[1]


def sample_times(day: date, bucket_id: str, timing: Timing, since: float, until: float) -> range:
    """When a bucket showed a day's figures, from `since` and until before `until`; Unix time."""
    begin, end = timing.previous_day_shown_between(day, bucket_id)
    first = math.ceil(max(begin, since) / STEP) * STEP
    return range(first, math.ceil(min(end, until)), STEP)


END = b"# EOF\n"
CHUNK = 2**20  # bytes that are copied at a time
SYNC_EVERY = 64  # chunks, so that no single wait for the disk is long


class DayFile:
    """The samples of one day, in scratch files until `joined`. A context manager."""

    def __init__(
        self, scratch: Path, suffix: str, figures: Sequence[NodeFigure] = PREVIOUS_DAY
    ) -> None:
        self._suffix = suffix  # the labels that every series has besides its own
        with ExitStack() as opened:
            self._files = [
                (figure, opened.enter_context((scratch / figure.name).open("wb+")))
                for figure in figures
            ]
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def add(self, bucket_id: str, nodes: Iterable[Node], times: range) -> bool:
        """Write a bucket's figures at each of the times; whether there were any."""
        ends = ["", *(f" {time}\n" for time in times)]
        labels = label_pair("bucket_id", bucket_id)
        written = 0
        for node in nodes:
            all_labels = node_labels(labels, node) + self._suffix
            for figure, file in self._files:
                value = figure.value_of(node)
                if value is not None:
                    line = f"{figure.name}{{{all_labels}}} {value!r}"
                    if not file.tell():
                        file.write(figure.header)
                    # str.join puts the line in front of each end.
                    written += file.write(line.join(ends).encode())
        return written > 0

    async def joined(self) -> Path:
        """One complete file with everything in it, safe on disk."""
        (_, first), *others = self._files
        for number, chunk in enumerate(self._further(file for _, file in others), start=1):
            first.write(chunk)
            if number % SYNC_EVERY:
                await asyncio.sleep(0)
            else:
                await _synced(first)
        first.write(END)
        await _synced(first)
        return Path(first.name)

    @staticmethod
    def _further(files: Iterable[BinaryIO]) -> Iterator[bytes]:
        """What is in these files, a chunk at a time."""
        for file in files:
            file.seek(0)
            while chunk := file.read(CHUNK):
                yield chunk


async def _synced(file: BinaryIO) -> None:
    """Wait for the disk, and let signals be heard meanwhile."""
    file.flush()
    descriptor = file.fileno()
    await in_thread(lambda: os.fsync(descriptor))


METRIC_LABELS = frozenset(name for figure in PREVIOUS_DAY for name in figure.labels)
RESERVED = frozenset({"le", "quantile"})

_NAME = re.compile(LABEL_NAME_PATTERN)


def extra_label(text: str) -> tuple[str, str]:
    """Name and value of `name=value`. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("write it as name=value")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a label name: use letters, digits and _, with no digit in front"
        )
    if name.startswith("__") or name in RESERVED:
        raise ValueError(f"{name} means something else to Prometheus: choose another")
    if name in METRIC_LABELS:
        raise ValueError(f"the metrics have a label {name} of their own: choose another")
    if not value:
        raise ValueError(f"{name} has no value, which is the same as no label: remove it")
    return name, label_value(value)


def label_suffix(labels: Mapping[str, str]) -> str:
    """What follows a series' own labels."""
    return "".join(f",{label_pair(name, value)}" for name, value in labels.items())


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
