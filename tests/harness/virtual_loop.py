"""An event loop on virtual time: its clock jumps to the next timer when nothing else is ready.

Months pass in seconds, and the result does not depend on the speed of the machine. `looptime` is
not suitable, because it guesses how long a thread takes. This clock never jumps while a blocking
call runs in a thread. Use Unix sockets, which deliver at once, not TCP sockets.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple, Unpack

from exporter.blocking import THREAD_NAME
from exporter.clock import SystemClock
from tests.harness.fakes import NOON

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

REAL_WAIT = 0.001
"""Seconds between two checks while a thread runs. A thread that ends wakes the loop at once."""


class StuckError(Exception):
    """No timer is set and no thread is running, so nothing can happen any more."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time starts at 0 and only jumps from one timer to the next."""

    def __init__(self) -> None:
        self._now = 0.0
        self._others = set(threading.enumerate())
        self._in_executor = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        # At least the smallest step of a float: far from 0, adding a short wait may not change it.
        self._now = max(self._now + seconds, math.nextafter(self._now, math.inf))

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Count a running thread."""
        future = super().run_in_executor(executor, func, *args)
        self._in_executor += 1
        future.add_done_callback(self._executed)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - Python 3.12 gives one
        """Count the thread that waits for the executor's threads, for as long as it runs."""
        self._in_executor += 1
        await super().shutdown_default_executor()
        self._in_executor -= 1

    def has_threads_at_work(self) -> bool:
        """Whether a blocking call is running, in `exporter.blocking` or in the executor."""
        started = set(threading.enumerate()) - self._others
        return self._in_executor > 0 or any(each.name == THREAD_NAME for each in started)

    def _executed(self, _future: object) -> None:
        self._in_executor -= 1


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait: if nothing is ready, it moves the loop's time."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now. If nothing is, `timeout` has passed."""
        # Checked first: a thread that ends later has made something ready.
        is_idle = timeout != 0 and not self._loop.has_threads_at_work()
        ready = super().select(0 if is_idle or timeout == 0 else REAL_WAIT)
        if ready or not is_idle:
            return ready
        if timeout is None:
            raise StuckError("no timer is set and no thread at work: nothing will ever happen")
        self._loop.jump(timeout)
        return []


class VirtualClock(SystemClock):
    """The clock of the running virtual loop, or of another `time`. Its wall clock can be set."""

    def __init__(self, wall: float = NOON, time: Callable[[], float] | None = None) -> None:
        super().__init__(self.wall)
        self._time = time or asyncio.get_running_loop().time
        self._ahead = wall - self.monotonic()

    def wall(self) -> float:
        """The wall clock's time, in the form that the simulator needs."""
        return self._ahead + self.monotonic()

    def monotonic(self) -> float:
        return self._time()

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock, as an administrator does."""
        self._ahead += seconds
