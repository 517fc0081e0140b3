"""One day's file while it grows: a scratch file per metric, joined when the day is done.

So nothing is held in memory, whatever the number of buckets, and no two metrics interleave. Which
names and HELP texts there are is `metrics`', when samples are taken `span`'s.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from exporter.blocking import in_thread
from exporter.metrics.families import PREVIOUS_DAY, NodeFigure, label_pair, node_labels
from exporter.model import Node

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
