"""The output directory of a backfill: its records, and its errors."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from exporter.backfill.output import DayRecord, Output, OutputError, Part
from exporter.blocking import CONFIG_LIMIT

DAY = date(2024, 1, 13)

SHAPES = {
    "a list": b"[]",
    "null": b"null",
    "cut off": b"{",
    "nothing": b"",
    "missing keys": b"{}",
    "no without_values": b'{"files": {}}',
    "files is a list": b'{"files": [], "without_values": []}',
    "file is null": b'{"files": {"a.om": null}, "without_values": []}',
    "no until": b'{"files": {"a.om": {"buckets": []}}, "without_values": []}',
    "until is text": b'{"files": {"a.om": {"until": "1", "buckets": []}}, "without_values": []}',
    "until is no number": b'{"files": {"a.om": {"until": NaN, "buckets": []}},'
    b' "without_values": []}',
    "buckets is text": b'{"files": {"a.om": {"until": 1, "buckets": "b1"}}, "without_values": []}',
    "bucket is a number": b'{"files": {}, "without_values": [1]}',
    "deep": b"[" * 100_000,
    "deep inside": b'{"files": {}, "without_values": ' + b"[" * 100_000,
    "not UTF-8": b'{"files": {}, "without_values": ["\xff"]}',
    "long number": b"9" * 10_000,
}


def held(output: Path, labels: Mapping[str, str] | None = None) -> str:
    """The error when the directory is locked and a record is read; it is one printable line."""
    directory = Output(output)
    with pytest.raises(OutputError) as told, directory.held(labels or {}):
        directory.record(DAY)
    message = str(told.value)
    assert message.isprintable()
    return message


def answered(output: Path) -> Path:
    """Create the directory for records."""
    directory = output / "answered"
    directory.mkdir(parents=True)
    return directory


def test_record_says_what_was_remembered(tmp_path: Path) -> None:
    """A stored record is read back, without the files that no longer exist."""
    output = Output(tmp_path)
    record = DayRecord({"a.om": Part(["b1", 'b"2'], 17.5), "b.om": Part(["b3"])}, ["b4"])
    (tmp_path / "a.om").touch()
    with output.held({}):
        output.remember(DAY, record)
        assert output.record(DAY) == DayRecord({"a.om": record.parts["a.om"]}, ["b4"])


@pytest.mark.parametrize("shape", SHAPES)
def test_record_of_another_shape_is_a_clear_error(tmp_path: Path, shape: str) -> None:
    """A record with an invalid shape is an error that says where, what and how to fix it."""
    (answered(tmp_path) / f"{DAY}.json").write_bytes(SHAPES[shape])
    assert held(tmp_path) == (
        f"{tmp_path}/answered/{DAY}.json: the content is invalid: remove it and the"
        " day's files: the next run writes them again"
    )


@pytest.mark.parametrize(
    "content", [b"[]", b"[" * 100_000, b'{"job": 1}', b'{"job": null}', b"\xff"]
)
def test_labels_of_another_shape_are_a_clear_error(tmp_path: Path, content: bytes) -> None:
    """An invalid labels.json is an error, as its labels must match the flags."""
    (answered(tmp_path) / "labels.json").write_bytes(content)
    message = held(tmp_path)
    assert message.startswith(f"{tmp_path}/answered/labels.json: the content is invalid")
    assert message.endswith(
        ": remove it and use the --label flags that the files there were written with, or choose"
        " another directory with --output"
    )


@pytest.mark.parametrize("name", [f"{DAY}.json", "labels.json"])
def test_what_is_no_regular_file_is_a_clear_error(tmp_path: Path, name: str) -> None:
    """A record that is a FIFO, a directory or too large is an error, without hanging."""
    file = answered(tmp_path) / name
    os.mkfifo(file)
    assert held(tmp_path).startswith(f"{file}: cannot be read: it is not a regular file: remove it")
    file.unlink()
    file.mkdir()
    assert held(tmp_path).startswith(f"{file}: cannot be read: Is a directory: remove it")
    file.rmdir()
    with file.open("wb") as stream:
        stream.truncate(CONFIG_LIMIT + 1)
    assert held(tmp_path).startswith(f"{file}: cannot be read: it is larger than 64 MiB: remove it")


def test_labels_are_told_on_one_line(tmp_path: Path) -> None:
    """The labels in an error are escaped, so it is one line."""
    (answered(tmp_path) / "labels.json").write_text(json.dumps({"job": "a\n\x1b[2Jb"}))
    assert r"'--label job=a\n\x1b[2Jb': use the same" in held(tmp_path)


def test_lock_that_is_a_fifo_does_not_hang(tmp_path: Path) -> None:
    """A FIFO in place of the lock file does not hang, and works as a lock."""
    os.mkfifo(answered(tmp_path) / "lock")
    with Output(tmp_path).held({}):
        assert "another backfill is writing here" in held(tmp_path)


@pytest.mark.parametrize("name", ["answered", "answered/lock", ".unfinished"])
def test_what_is_in_the_way_is_named(tmp_path: Path, name: str) -> None:
    """A file in place of a directory, or the reverse, is an error with its name."""
    answered(tmp_path)
    if name == "answered/lock":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / "answered").rmdir()
        (tmp_path / name).touch()
    message = held(tmp_path)
    assert message.startswith(f"{tmp_path / name}: cannot be used: ")
    assert message.endswith(": fix that, or choose another directory with --output")


def test_scratch_that_is_a_link_is_named(tmp_path: Path) -> None:
    """A symbolic link as scratch directory is an error, and its target is not removed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".unfinished").symlink_to(tmp_path / "elsewhere")
    assert held(tmp_path / "out").endswith("/.unfinished: it is a symbolic link: remove it")
    assert (tmp_path / "elsewhere").exists()


def test_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    """A directory name that is too long is an error."""
    assert "cannot be used: File name too long" in held(tmp_path / ("x" * 256))


def test_what_a_file_cannot_replace_is_named(tmp_path: Path) -> None:
    """The error names the target file, not the temporary file that should replace it."""
    output, file = Output(tmp_path), tmp_path / "whole"
    (tmp_path / "failed.json").mkdir()
    file.touch()
    with pytest.raises(OutputError) as told, output.held({}):
        output.put(file, "failed.json")
    assert str(told.value).startswith(f"{tmp_path}/failed.json: cannot be used: Is a directory: ")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_says_what_to_do(tmp_path: Path, number: int) -> None:
    """A full disk is an error that names the directory, and says that a new run continues."""
    with pytest.raises(OutputError) as told, Output(tmp_path).held({}):
        raise OSError(number, os.strerror(number))
    assert str(told.value) == (
        f"{tmp_path}: cannot be used: {os.strerror(number)}:"
        " free some space and run the command again: it continues where it stopped"
    )
