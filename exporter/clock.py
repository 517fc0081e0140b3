"""The clock that is passed to all parts, so that tests can run on virtual time.

Polling, login and rendering take the time only from a `Clock`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from exporter.model import Instant

_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Includes suspended time if the system supports that: values age while a laptop sleeps."""


class Clock(Protocol):
    """A source of time. All times are in seconds."""

    def now(self) -> Instant: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when `event` is set, or after `seconds`."""
        ...

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Cancel the body after `seconds` and raise TimeoutError in its place."""
        ...


class SystemClock:
    """The machine's clock. `wall` replaces its wall clock, for example with a simulated one."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall

    def now(self) -> Instant:
        return Instant(self._wall(), self.monotonic())

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, including suspended time if the system counts it."""
        return time.clock_gettime(_MONOTONIC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        try:
            # Not asyncio.wait_for: on Python 3.11 it can swallow a cancellation.
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(seconds)
