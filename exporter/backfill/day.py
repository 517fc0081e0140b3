"""One day of a backfill: its buckets, its record, and its file.

Samples go to one scratch file per metric, so memory use does not depend on the number of buckets,
and metrics do not interleave. Timestamps are multiples of the sample interval in Unix time, so
every run writes samples at the same times. Requests belong in `fetch`, files in `output`.
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
from exporter.metrics.families import PREVIOUS_DAY, NodeGauge, label_pair, node_labels
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
"""Seconds between two samples, below Prometheus's lookback delta of five minutes."""


def days(first: date, last: date) -> Iterator[date]:
    """Each day from the first to the last, inclusive."""
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def available_from(day: date, grace: float) -> float:
    """The Unix time from which a day is available: every bucket exposes it by then."""
    return midnight(day) + SECONDS_PER_DAY + grace + PREVIOUS_DAY_SPREAD + STEP


def sample_times(day: date, bucket_id: str, timing: Timing, since: float, until: float) -> range:
    """The Unix times at which a bucket exposed a day's values, from `since` to before `until`."""
    begin, end = timing.previous_day_exposed_between(day, bucket_id)
    first = math.ceil(max(begin, since) / STEP) * STEP
    return range(first, math.ceil(min(end, until)), STEP)


END = b"# EOF\n"
CHUNK = 2**20  # bytes per copy
SYNC_EVERY = 64  # chunks, so that no single sync takes long


class DayFile:
    """The samples of one day, in scratch files until `joined`. A context manager."""

    def __init__(
        self, scratch: Path, suffix: str, figures: Sequence[NodeGauge] = PREVIOUS_DAY
    ) -> None:
        self._suffix = suffix  # the extra labels of every series
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
        """Write a bucket's values at each of the times. Returns whether it has any."""
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
        """Join everything into one complete file, synced to disk."""
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
        """The content of these files in chunks."""
        for file in files:
            file.seek(0)
            while chunk := file.read(CHUNK):
                yield chunk


async def _synced(file: BinaryIO) -> None:
    """Sync to disk in a thread, so that signals are still handled."""
    file.flush()
    descriptor = file.fileno()
    await in_thread(lambda: os.fsync(descriptor))


METRIC_LABELS = frozenset(name for figure in PREVIOUS_DAY for name in figure.labels)
RESERVED = frozenset({"le", "quantile"})

_NAME = re.compile(LABEL_NAME_PATTERN)


def extra_label(text: str) -> tuple[str, str]:
    """Split `name=value` into name and value. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("write it as name=value")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a label name: use letters, digits and _, without a leading digit"
        )
    if name.startswith("__") or name in RESERVED:
        raise ValueError(f"{name} is reserved by Prometheus: choose another")
    if name in METRIC_LABELS:
        raise ValueError(f"the metrics have a label {name} of their own: choose another")
    if not value:
        raise ValueError(f"{name} has no value, which is the same as no label: remove it")
    return name, label_value(value)


def label_suffix(labels: Mapping[str, str]) -> str:
    """The text of the extra labels, which follows a series' own labels."""
    return "".join(f",{label_pair(name, value)}" for name, value in labels.items())


_log = structlog.get_logger()


class Missing(NamedTuple):
    """A bucket to request, its timing, and the Unix time from which its samples are missing."""

    bucket: Bucket
    timing: Timing
    since: float


def missing(
    day: date, record: DayRecord, assignments: Iterable[Assignment], now: float
) -> Iterator[Missing]:
    """The buckets without samples of the day, or whose samples end early and can be continued."""
    ends = record.since()
    for bucket, timing in assignments:
        since = ends.get(bucket.id)
        if since is None:
            yield Missing(bucket, timing, -math.inf)
        elif since < timing.previous_day_exposed_until(day) <= now:
            yield Missing(bucket, timing, since)


class Day:
    """A day in progress. `now` is the Unix time at which the work on it began."""

    def __init__(
        self, day: date, record: DayRecord, asked: Sequence[Missing], now: float, failures: Failures
    ) -> None:
        self._day = day
        self._record = record
        self._asked = {each.bucket.id: each for each in asked}
        self._now = now
        self._failures = failures
        self._with_values: list[str] = []

    async def process(self, fetcher: Fetcher, output: Output, suffix: str) -> str | None:
        """Fetch and write the day. Returns the name of its file, or None without values.

        `suffix` is the text of the extra labels of every series.
        """
        failures, drift = self._failures.count, fetcher.drift_counter.count
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
            requested=len(buckets),
            with_values=len(self._with_values),
            failed=self._failures.count - failures,
            schema_drift=fetcher.drift_counter.count - drift,
        )
        return name

    def _take(self, file: DayFile, bucket: Bucket, answer: Answer) -> None:
        if isinstance(answer, ApiError):
            self._failures.note(FailedBucket(bucket.account, bucket.id, self._day, answer))
            return
        _, timing, since = self._asked[bucket.id]
        times = sample_times(self._day, bucket.id, timing, since, self._now)
        if file.add(bucket.id, answer.nodes, times):
            self._with_values.append(bucket.id)
        elif timing.previous_day_exposed_until(self._day) <= self._now:  # no values arrive later
            self._record.without_values.append(bucket.id)

    async def _publish(self, file: DayFile, output: Output) -> str | None:
        """Publish the file, after recording its content."""
        if not self._with_values:
            await in_thread(lambda: output.remember(self._day, self._record))
            return None
        whole = await file.joined()
        name = output.free_name(self._day)
        day, asked = self._day, self._asked.values()
        ends = max(each.timing.previous_day_exposed_until(day) for each in asked)
        until = None if self._now >= ends else self._now
        self._record.parts[name] = Part(self._with_values, until)
        await in_thread(lambda: output.remember(self._day, self._record))
        await in_thread(lambda: output.publish(whole, name))
        return name
