"""Time as an argument: what a clock must offer, and the machine's own.

Only `SystemClock` may ask the operating system for the time; everybody else is handed a `Clock`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from exporter.model import Instant

_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while a machine is suspended, where the system has such a clock: age is age."""


class Clock(Protocol):
    """Where time comes from. All times in seconds."""

    def now(self) -> Instant: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when `event` is set, and after `seconds` at the latest."""
        ...

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Cancel the body after `seconds` and raise TimeoutError in its place."""
        ...


class SystemClock:
    """The machine's clock; `wall` may tell another time of day, such as a simulated one."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall

    def now(self) -> Instant:
        return Instant(self._wall(), self.monotonic())

    def monotonic(self) -> float:
        """Seconds since some moment in the past, suspended time included where it can be."""
        return time.clock_gettime(_MONOTONIC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when `event` is set, and after `seconds` at the latest."""
        try:
            # Not asyncio.wait_for: on Python 3.11 it can swallow a cancellation.
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Cancel the body after `seconds` and raise TimeoutError in its place."""
        return asyncio.timeout(seconds)
