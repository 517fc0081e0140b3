"""The output directory of a backfill: its files, a record of their buckets, and scratch files.

Files are written atomically. `answered/` records for each day which bucket's values are in which
file, so that another run only requests the rest. The content of a file belongs in `day`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, FiniteFloat, TypeAdapter

from exporter.blocking import read_file

RECORDS = "answered"
SCRATCH = ".unfinished"
FAILED = "failed.json"

REMEDIES = dict.fromkeys(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    "free some space and run the command again: it continues where it stopped",
)
OTHER_REMEDY = "fix that, or choose another directory with --output"

T = TypeVar("T")


class OutputError(Exception):
    """The directory cannot be used. The text says why and what to do."""


@dataclass(slots=True)
class Part:
    """The content of one file of a day.

    `until`: the Unix time at which its samples end, if the day was still exposed during the run.
    """

    buckets: list[str]
    until: float | None = None


@dataclass(slots=True)
class DayRecord:
    """The record of a day: its files by name, and the buckets without values."""

    parts: dict[str, Part] = field(default_factory=dict)
    without_values: list[str] = field(default_factory=list)

    def since(self) -> dict[str, float]:
        """For each bucket with a response, the Unix time from which samples are missing, or inf."""
        answered: dict[str, float] = {}
        for part in self.parts.values():
            end = math.inf if part.until is None else part.until
            for bucket in part.buckets:
                answered[bucket] = max(answered.get(bucket, end), end)
        whole = dict.fromkeys(self.without_values, math.inf)
        return answered | whole


class WrittenPart(BaseModel):
    """A `Part` as JSON."""

    until: FiniteFloat | None
    buckets: list[str]


class WrittenRecord(BaseModel):
    """A `DayRecord` as JSON."""

    files: dict[str, WrittenPart]
    without_values: list[str]


_RECORD = TypeAdapter(WrittenRecord)
_LABELS = TypeAdapter(dict[str, str])


class Output:
    """A directory that one run uses at a time. Raises OutputError.

    `record`, `remember` and `publish` block on the disk: call them in a thread.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.scratch = directory / SCRATCH
        self._records = directory / RECORDS

    @contextmanager
    def held(self, labels: Mapping[str, str]) -> Iterator[None]:
        """Lock the directory while the body runs; remove scratch files before and after."""
        with self._as_output_errors(), self._locked():
            try:
                self._clear()
                self.scratch.mkdir()
                self._check_labels(labels)
                yield
            finally:
                shutil.rmtree(self.scratch, ignore_errors=True)

    def free_name(self, day: date) -> str:
        number, name = 1, f"{day}.om"
        while (self._directory / name).exists():
            number += 1
            name = f"{day}.{number}.om"
        return name

    def record(self, day: date) -> DayRecord:
        """The record of a day, without files that no longer exist."""
        remedy = "remove it and the day's files: the next run writes them again"
        written = self._read(self._record_file(day), _RECORD, remedy)
        if written is None:
            return DayRecord()
        parts = {
            name: Part(part.buckets, part.until)
            for name, part in written.files.items()
            if (self._directory / name).exists()
        }
        return DayRecord(parts, written.without_values)

    def remember(self, day: date, record: DayRecord) -> None:
        """Write the record of a day. Call it before the file is published."""
        files = {
            name: {"until": part.until, "buckets": part.buckets}
            for name, part in record.parts.items()
        }
        written = {"files": files, "without_values": record.without_values}
        self._write(self._record_file(day), written)

    def publish(self, file: Path, name: str) -> None:
        """Publish a complete, synced file under its name, and sync the directory."""
        self.put(file, name)
        _sync_directory(self._directory)

    def put(self, file: Path, name: str) -> None:
        """Publish a file that the next run replaces, without waiting for the disk."""
        file.replace(self._directory / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._records.mkdir(parents=True, exist_ok=True)
        # Does not block if there is a FIFO in its place.
        flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        lock = os.open(self._records / "lock", flags, 0o666)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    f"{self._directory}: another backfill is writing here: wait for it, or choose"
                    " another directory with --output"
                ) from error
            yield
        finally:
            os.close(lock)

    def _clear(self) -> None:
        """Remove the scratch files of an earlier run that was killed."""
        if self.scratch.is_symlink():  # Python versions raise different errors for it
            raise OutputError(f"{self.scratch}: it is a symbolic link: remove it")
        if self.scratch.exists():
            shutil.rmtree(self.scratch)

    def _check_labels(self, labels: Mapping[str, str]) -> None:
        """Check that the labels match those of the existing files of the same series."""
        file = self._records / "labels.json"
        remedy = (
            "remove it and use the --label flags that the files there were written with,"
            " or choose another directory with --output"
        )
        before = self._read(file, _LABELS, remedy)
        if before is None:
            self._write(file, labels)
        elif before != dict(labels):
            given = " ".join(f"--label {name}={value}" for name, value in before.items())
            given = given if given.isprintable() else repr(given)
            raise OutputError(
                f"{self._directory}: its files were written with"
                f" {given or 'no --label'}: use the same, or choose another directory with --output"
            )

    def _record_file(self, day: date) -> Path:
        return self._records / f"{day}.json"

    @staticmethod
    def _read(file: Path, shape: TypeAdapter[T], remedy: str) -> T | None:
        try:
            return shape.validate_json(read_file(file), strict=True)
        except FileNotFoundError:
            return None
        except PermissionError:
            raise  # reported like any other permission problem
        except OSError as error:
            raise OutputError(f"{file}: cannot be read: {error.strerror}: {remedy}") from error
        except ValueError as error:
            raise OutputError(f"{file}: the content is invalid: {remedy}") from error

    def _write(self, file: Path, content: object) -> None:
        """Write the file atomically."""
        unfinished = self.scratch / file.name
        with unfinished.open("w", encoding="utf-8") as stream:
            json.dump(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
        _sync_directory(file.parent)

    @contextmanager
    def _as_output_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = error.filename2 or error.filename or self._directory
            remedy = REMEDIES.get(error.errno or 0, OTHER_REMEDY)
            raise OutputError(
                f"{where}: cannot be used: {error.strerror or error}: {remedy}"
            ) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
