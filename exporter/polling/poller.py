"""The poll loop: starts due polls within the rate and concurrency limits, publishes results.

Background work runs when no poll is due. `upstream` performs a poll, `scheduler` decides when
it is due. A poll that raises is a bug, and ends the loop and with it the process.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Protocol

from exporter.clock import Clock
from exporter.model import Bucket, PollResult
from exporter.polling.scheduler import Scheduler
from exporter.polling.targets import Target
from exporter.upstream.rate_limit import RateLimiter, RequestSlots

LONGEST_WAIT = 5.0
"""Seconds between two iterations of the loop, at most."""

HEARTBEAT_LIMIT = 60.0
"""Seconds without an iteration after which the loop counts as dead."""


class Background(Protocol):
    """Work that can wait until no poll is due."""

    def background_accounts(self) -> dict[str, float]:
        """The accounts that have background work, and since when."""
        ...

    def background_work(self, account: str) -> Coroutine[None, None, None]:
        """The next background work of an account that has some."""
        ...


class Poller:
    """Runs until cancelled, starts polls when they are due, and hands out the request slots."""

    def __init__(
        self,
        scheduler: Scheduler,
        poll: Callable[[Bucket], Awaitable[PollResult]],
        publish: Callable[[Target, PollResult], None],
        background: Background,
        *,
        slots: RequestSlots,
        rate_limiter: RateLimiter,
        clock: Clock,
    ) -> None:
        self._scheduler = scheduler
        self._poll = poll
        self._publish = publish
        self._background = background
        self._max_background = max(1, slots.count // 2)  # the other half is only for polls
        self._slots = slots
        self._rate_limiter = rate_limiter
        self._clock = clock
        self._running: Counter[str] = Counter()  # by account; with or without a slot at the moment
        self._running_background = 0
        self._is_retired = False
        self._beat = clock.monotonic()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                self._beat = self._clock.monotonic()
                self._slots.changed.clear()
                wait = self._start_due(group)
                await self._clock.wait(self._slots.changed, wait)

    def stop(self) -> None:
        """Start no more polls: another poller takes over and this one is about to be cancelled."""
        self._is_retired = True

    def wake(self) -> None:
        """Run an iteration now: something may have become due."""
        self._slots.changed.set()

    def is_alive(self) -> bool:
        return self._clock.monotonic() - self._beat <= HEARTBEAT_LIMIT

    def _start_due(self, group: asyncio.TaskGroup) -> float:
        """Start what may start now; returns the seconds until the next iteration."""
        while self._slots.free > 0 and not self._is_retired:
            delay = self._rate_limiter.delay()
            if delay:
                return min(delay, LONGEST_WAIT)
            if not self._start_next(group):
                return self._until_next_due()
            self._rate_limiter.reserve()
        return LONGEST_WAIT

    def _start_next(self, group: asyncio.TaskGroup) -> bool:
        """Give a free slot to the account whose turn it is; False if no account wants one."""
        now = self._clock.monotonic()
        due = self._scheduler.due_accounts(now)
        wanted = {name: due[name] for name in due if self._running[name] < self._slots.count}
        wanted.update(self._slots.wanted())
        account = self._slots.next_of(wanted)
        other = self._next_in_background(account, wanted)
        if other is not None:
            self._running_background += 1
            self._start(group, other, self._run_background(self._background.background_work(other)))
        elif account is None:
            return False
        elif not self._slots.grant(account):
            target = self._scheduler.pop_due(now, account)
            if target is None:
                raise RuntimeError(f"nothing is due any more in account {account}")
            self._start(group, account, self._run_poll(target))
        return True

    def _next_in_background(self, first: str | None, wanted: Mapping[str, float]) -> str | None:
        """The account whose background work gets the slot, or None; `first` is next to poll.

        Polls come before background work. The last free slot is an exception: it goes to the
        account whose turn it is, for polls or for background work. Otherwise an account whose polls
        hang could block background work forever.
        """
        if first is not None and self._slots.free > 1:
            return None
        if self._running_background >= self._max_background:
            return None
        others = {
            name: since
            for name, since in self._background.background_accounts().items()
            if name not in wanted and self._running[name] < self._slots.count
        }
        if first is None or not others:
            return self._slots.next_of(others)
        account = self._slots.next_of({first: wanted[first], **others})
        return None if account == first else account

    def _start(
        self, group: asyncio.TaskGroup, account: str, work: Coroutine[None, None, None]
    ) -> None:
        self._slots.take(account)
        self._running[account] += 1
        group.create_task(self._run(account, work))

    async def _run(self, account: str, work: Coroutine[None, None, None]) -> None:
        await work
        self._running[account] -= 1
        self._slots.give_back(account)

    def _until_next_due(self) -> float:
        due = self._scheduler.next_due()
        if due is None:
            return LONGEST_WAIT
        return min(max(due - self._clock.monotonic(), 0.0), LONGEST_WAIT)

    async def _run_poll(self, target: Target) -> None:
        result = await self._poll(target.bucket)
        # After a reload, the account may have another base URL: drop the result.
        if self._is_retired or not self._scheduler.complete(target, result, self._clock.now()):
            return
        self._publish(target, result)

    async def _run_background(self, work: Coroutine[None, None, None]) -> None:
        await work
        self._running_background -= 1
