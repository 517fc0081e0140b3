"""Blocking calls: off the loop, one at a time, never waited for past their deadline.

And files: what is read, what is refused, and what a fingerprint tells.
"""

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
    """The loop's own thread is free meanwhile."""
    calls = BlockingCalls(FakeClock(), 5)
    assert await calls.run(threading.get_ident) != threading.get_ident()


async def test_error_of_a_call_is_raised() -> None:
    """As if it had been called here."""
    calls = BlockingCalls(FakeClock(), 5)
    with pytest.raises(ValueError, match="none"):
        await calls.run(lambda: int("none"))


async def test_call_that_hangs_times_out_and_no_other_is_started() -> None:
    """One dead mount costs one thread; once it answers, calls go on."""
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
    """The second begins when the first has ended."""
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
    """Stopping waits for no thread."""
    free = threading.Event()
    task = asyncio.create_task(BlockingCalls(FakeClock(), 5).run(free.wait))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    free.set()


async def test_result_for_a_future_that_was_cancelled_is_dropped() -> None:
    """Neither a result nor an error."""
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
    """Neither the loop nor the interpreter waits for it."""
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
