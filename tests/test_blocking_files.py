"""Files: what is read, what is refused, and what a fingerprint tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.blocking import fingerprint, read_file


def test_regular_file_is_read_also_through_links(tmp_path: Path) -> None:
    """Kubernetes mounts files as symbolic links."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link") == b"content"


def test_file_of_just_the_limit_is_read_and_a_larger_one_refused(tmp_path: Path) -> None:
    """The limit is in bytes, and the error says it."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2**20)
    assert len(read_file(file, 2**20)) == 2**20
    file.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(OSError, match="larger than 1 MiB"):
        read_file(file, 2**20)


def test_fifo_is_refused_at_once(tmp_path: Path) -> None:
    """Opening it as usual would hang until somebody writes."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "fifo")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/stdin"])
def test_device_is_refused(device: str) -> None:
    """One of them has no end."""
    with pytest.raises(OSError, match="not a regular file"):
        read_file(Path(device))


def test_fifo_that_takes_a_files_place_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was a regular file when it was looked at may be none when it is opened."""
    regular = Path(__file__).stat()
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(os, "stat", lambda _path: regular)
    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "fifo")


def test_directory_is_called_one(tmp_path: Path) -> None:
    """Whoever reports it may say so."""
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)


def test_name_that_no_file_can_have_is_that_of_none() -> None:
    """YAML can write a NUL character."""
    with pytest.raises(FileNotFoundError, match="no file can have this name"):
        read_file(Path("x\0y"))
    assert fingerprint(Path("x\0y")) is None


def test_fingerprint_changes_with_who_may_read(tmp_path: Path) -> None:
    """A file that may be read again has not been written anew."""
    file = tmp_path / "file"
    file.touch()
    before = fingerprint(file)
    file.chmod(0o604)
    assert fingerprint(file) != before


def test_fingerprint_changes_with_the_file(tmp_path: Path) -> None:
    """A file that is written anew, replaced or removed has another one."""
    file = tmp_path / "file"
    assert fingerprint(file) is None
    file.write_text("one")
    first = fingerprint(file)
    assert first == fingerprint(file) is not None
    (tmp_path / "other").write_text("one")
    (tmp_path / "other").replace(file)
    assert fingerprint(file) not in {first, None}
