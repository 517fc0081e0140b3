"""Blocking calls in threads, with deadlines, and reading of files and their fingerprints."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from exporter.blocking import BlockingCalls, fingerprint, in_thread, read_file
from tests.harness.fakes import FakeClock, settle


async def test_call_runs_in_another_thread_and_gives_its_result() -> None:
    """A call runs in another thread, and its result is returned."""
    calls = BlockingCalls(FakeClock(), 5)
    assert await calls.run(threading.get_ident) != threading.get_ident()


async def test_error_of_a_call_is_raised() -> None:
    """An exception in a call is raised in the caller."""
    calls = BlockingCalls(FakeClock(), 5)
    with pytest.raises(ValueError, match="none"):
        await calls.run(lambda: int("none"))


async def test_call_that_hangs_times_out_and_no_other_is_started() -> None:
    """While one call hangs no other is started, so a dead mount blocks only one thread."""
    clock, free, begun = FakeClock(), threading.Event(), []
    calls = BlockingCalls(clock, 5)
    first = asyncio.create_task(calls.run(free.wait))
    await clock.advance(5)
    second = asyncio.create_task(calls.run(lambda: begun.append(1)))
    await clock.advance(5)
    for task in (first, second):
        with pytest.raises(TimeoutError):
            await task
    assert not begun
    free.set()
    assert await calls.run(lambda: "on") == "on"


async def test_calls_run_one_at_a_time() -> None:
    """A call starts only after the previous one has ended."""
    order: list[str] = []
    free = threading.Event()
    calls = BlockingCalls(FakeClock(), 5)

    def first() -> None:
        free.wait()
        order.append("first")

    tasks = [asyncio.create_task(calls.run(each)) for each in (first, lambda: order.append("2nd"))]
    await settle()
    free.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "2nd"]


async def test_cancelled_wait_is_cancelled_though_the_call_hangs() -> None:
    """A cancelled wait ends at once, even while the call hangs."""
    free = threading.Event()
    task = asyncio.create_task(BlockingCalls(FakeClock(), 5).run(free.wait))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    free.set()


async def test_result_for_a_future_that_was_cancelled_is_dropped() -> None:
    """The result or error of a cancelled call is dropped without a complaint."""
    for raises in (False, True):
        free = threading.Event()

        def call(free: threading.Event = free, *, raises: bool = raises) -> None:
            free.wait()
            if raises:
                raise ValueError("nobody waits")

        future = in_thread(call)
        future.cancel()
        free.set()
        await in_thread(lambda: None)
        await settle()
        assert future.cancelled()


def test_process_ends_though_a_call_hangs() -> None:
    """The process can exit while a call hangs."""
    program = (
        "import asyncio, threading\n"
        "from exporter.blocking import in_thread\n"
        "async def main():\n"
        "    in_thread(threading.Event().wait)\n"
        "    await in_thread(lambda: None)\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_regular_file_is_read_also_through_links(tmp_path: Path) -> None:
    """Symbolic links are followed, because Kubernetes mounts files that way."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link") == b"content"


def test_file_of_just_the_limit_is_read_and_a_larger_one_refused(tmp_path: Path) -> None:
    """A file of exactly the limit is read; a larger one is an error that has the limit."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2**20)
    assert len(read_file(file, 2**20)) == 2**20
    file.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(OSError, match="larger than 1 MiB"):
        read_file(file, 2**20)


def test_fifo_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO is rejected; opening it as usual would hang until a writer comes."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "fifo")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/stdin"])
def test_device_is_refused(device: str) -> None:
    """Devices are rejected, as some have no end."""
    with pytest.raises(OSError, match="not a regular file"):
        read_file(Path(device))


def test_fifo_that_takes_a_files_place_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a FIFO replaces a file after the check, it is rejected without hanging."""
    regular = Path(__file__).stat()
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(os, "stat", lambda _path: regular)
    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "fifo")


def test_directory_is_called_one(tmp_path: Path) -> None:
    """A directory raises IsADirectoryError, so that callers can report it."""
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)


def test_name_that_no_file_can_have_is_that_of_none() -> None:
    """A path with NUL, which YAML can contain, raises FileNotFoundError and has no fingerprint."""
    with pytest.raises(FileNotFoundError, match="no file can have this name"):
        read_file(Path("x\0y"))
    assert fingerprint(Path("x\0y")) is None


def test_fingerprint_changes_with_who_may_read(tmp_path: Path) -> None:
    """A changed file mode changes the fingerprint, since the file may be readable now."""
    file = tmp_path / "file"
    file.touch()
    before = fingerprint(file)
    file.chmod(0o604)
    assert fingerprint(file) != before


def test_fingerprint_changes_with_the_file(tmp_path: Path) -> None:
    """Writing, replacing or removing a file changes its fingerprint."""
    file = tmp_path / "file"
    assert fingerprint(file) is None
    file.write_text("one")
    first = fingerprint(file)
    assert first == fingerprint(file) is not None
    (tmp_path / "other").write_text("one")
    (tmp_path / "other").replace(file)
    assert fingerprint(file) not in {first, None}
