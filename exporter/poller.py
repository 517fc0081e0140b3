"""Takes what is due, bounds how much of it runs at once and how fast it starts, publishes outcomes.

The one loop that runs for months. What can wait is done when no poll is due. What a poll is and
when one is due is decided elsewhere; a poll that raises is a bug, and ends the loop and with it the
process.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from exporter.clock import Clock
    from exporter.model import Bucket, Outcome
    from exporter.schedule import Schedule, Slot

LONGEST_WAIT = 5.0
"""The loop beats at least this often, seconds, even with nothing to do."""

HEARTBEAT_LIMIT = 60.0
"""A loop that has not beaten for this long, seconds, is dead."""


class RequestPace(Protocol):
    """How fast polls may start."""

    def delay(self) -> float:
        """Seconds until one may start."""
        ...

    def take(self) -> float:
        """Reserve the next place."""
        ...


class Poller:
    """Polls every bucket of a schedule for as long as it runs."""

    def __init__(
        self,
        schedule: Schedule,
        poll: Callable[[Bucket], Awaitable[Outcome]],
        publish: Callable[[Bucket, Outcome], None],
        spare: Callable[[], Coroutine[None, None, None] | None],
        *,
        max_concurrent: int,
        pace: RequestPace,
        clock: Clock,
    ) -> None:
        self._schedule = schedule
        self._poll = poll
        self._publish = publish
        self._spare = spare  # the next thing that can wait, if any
        self._max_spare = max(1, max_concurrent // 2)  # the rest is for polls alone
        self._max_concurrent = max_concurrent
        self._pace = pace
        self._clock = clock
        self._running = 0
        self._running_spare = 0
        self._is_retired = False
        self._woken = asyncio.Event()
        self._beat = clock.monotonic()

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._beat = self._clock.monotonic()
                self._woken.clear()
                wait = self._start_due(group)
                await self._clock.wait(self._woken, wait)

    def retire(self) -> None:
        """Start no more polls: another poller takes over, and this one is about to be cancelled."""
        self._is_retired = True

    def wake(self) -> None:
        """Look at once: something may have become due."""
        self._woken.set()

    def is_alive(self) -> bool:
        """Whether the loop has beaten lately."""
        return self._clock.monotonic() - self._beat <= HEARTBEAT_LIMIT

    def _start_due(self, group: asyncio.TaskGroup) -> float:
        """Start what may start now; the seconds after which to look again."""
        while self._running < self._max_concurrent and not self._is_retired:
            delay = self._pace.delay()
            if delay:
                return min(delay, LONGEST_WAIT)
            slot = self._schedule.take_due(self._clock.monotonic())
            work = self._next_spare() if slot is None else self._run_poll(slot)
            if work is None:
                return self._until_next_due()
            self._pace.take()
            self._running += 1
            group.create_task(work)
        return LONGEST_WAIT

    def _next_spare(self) -> Coroutine[None, None, None] | None:
        work = self._spare() if self._running_spare < self._max_spare else None
        if work is None:
            return None
        self._running_spare += 1
        return self._run_spare(work)

    def _until_next_due(self) -> float:
        due = self._schedule.next_due()
        if due is None:
            return LONGEST_WAIT
        return min(max(due - self._clock.monotonic(), 0.0), LONGEST_WAIT)

    async def _run_poll(self, slot: Slot) -> None:
        outcome = await self._poll(slot.bucket)
        if self._schedule.hand_back(slot, outcome, self._clock.now()):
            self._publish(slot.bucket, outcome)
        self._running -= 1
        self.wake()

    async def _run_spare(self, work: Coroutine[None, None, None]) -> None:
        await work
        self._running_spare -= 1
        self._running -= 1
        self.wake()
