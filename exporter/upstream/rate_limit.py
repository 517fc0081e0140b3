"""How fast requests may leave this process: one rate, shared by all accounts and all calls.

A request takes its place in the order of asking; quiet times are no credit for a burst later.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from exporter.clock import Clock

TOLERANCE_SECONDS = 0.01
"""How much too early a request may leave, so that a high rate needs few wake-ups."""


class RequestTurns(Protocol):
    """When the requests of a call that has begun may leave."""

    def released(self) -> AbstractContextManager[None]:
        """While the body runs, the call makes no request, and holds up nobody."""
        ...

    async def acquire(self) -> None:
        """Return when its next request may leave."""
        ...


class RateLimiter:
    """Spaces requests evenly (the generic cell rate algorithm, with a small tolerance)."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._spacing = 1 / per_second
        self._clock = clock
        self._due = clock.monotonic()

    def delay(self) -> float:
        """Seconds until a request may leave; 0 if one may leave now."""
        return max(0.0, self._due - TOLERANCE_SECONDS - self._clock.monotonic())

    def reserve(self) -> float:
        """Reserve the next place; the seconds until it comes."""
        delay = self.delay()
        self._due = max(self._due, self._clock.monotonic()) + self._spacing
        return delay

    def released(self) -> AbstractContextManager[None]:
        """Nothing is held that could hold up others."""
        return nullcontext()

    async def acquire(self) -> None:
        """Return when a request may leave."""
        delay = self.reserve()
        if delay:
            await self._clock.sleep(delay)
