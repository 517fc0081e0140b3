"""Blocking calls: off the loop, one at a time, never waited for past their deadline."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from exporter.blocking import BlockingCalls, in_thread
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
