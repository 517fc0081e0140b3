"""Limits how fast requests are sent and how many run at once, shared fairly by the accounts.

A slot is held during a request, not between two attempts or while waiting for a token. So each slot
is free again within one `poll_timeout`, whatever an API does. Decides which account gets a free
slot; what it is used for is decided by the poller.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import NamedTuple, Protocol

from exporter.clock import Clock

TOLERANCE_SECONDS = 0.01
"""Seconds that a request may be sent too early, so that a high rate needs few timers."""

PAUSE_BOUNDS = (1.0, 300.0)
"""Limits for the pause after a 429, in seconds, whatever its Retry-After says.

A shorter pause would overload the API; a longer one would leave the account without data.
"""

DEFAULT_PAUSE = 30.0
"""Seconds of pause after a 429 without Retry-After."""


def pause_seconds(retry_after: float | None) -> float:
    """Seconds of pause after a 429 with this Retry-After."""
    least, most = PAUSE_BOUNDS
    return DEFAULT_PAUSE if retry_after is None else min(max(retry_after, least), most)


class RequestTurns(Protocol):
    """Controls when a call in progress may send its next request."""

    def released(self) -> AbstractContextManager[None]:
        """While the body runs, the call sends no request and gives its slot to others."""
        ...

    async def acquire(self) -> None:
        """Return when the next request may be sent."""
        ...


class RateLimiter:
    """Spaces requests evenly, by the generic cell rate algorithm with a small tolerance."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._spacing = 1 / per_second
        self._clock = clock
        self._due = clock.monotonic()

    def delay(self) -> float:
        """Seconds until a request may be sent; 0 if it may be sent now."""
        return max(0.0, self._due - TOLERANCE_SECONDS - self._clock.monotonic())

    def reserve(self) -> float:
        """Reserve the next turn; returns the seconds until then."""
        delay = self.delay()
        self._due = max(self._due, self._clock.monotonic()) + self._spacing
        return delay

    def released(self) -> AbstractContextManager[None]:
        """Do nothing: there is no slot to give back."""
        return nullcontext()

    async def acquire(self) -> None:
        delay = self.reserve()
        if delay:
            await self._clock.sleep(delay)


class _Waiter(NamedTuple):
    since: float  # monotonic seconds
    granted: asyncio.Event


_Queues = defaultdict[str, deque[_Waiter]]


class RequestSlots:
    """Which account holds how many slots, and which calls wait for one.

    Whatever hands out the slots calls `take` and `grant`, one at a time, while `free` is positive.
    """

    def __init__(self, count: int, clock: Clock) -> None:
        self.count = count
        self.free = count
        self.changed = asyncio.Event()
        """Set when a slot becomes free, and when a call starts to wait for one."""
        self._clock = clock
        self._held: Counter[str] = Counter()
        self._last: dict[str, tuple[float, int]] = {}  # the last grant of each: time, number
        self._taken = 0
        self._calls: _Queues = defaultdict(deque)  # calls in progress: they come before new ones
        self._listings: _Queues = defaultdict(deque)
        self._listing: set[str] = set()  # accounts with a list call in progress
        self._max_listings = max(1, count // 2)  # so that hanging list requests cannot delay polls

    def next_of(self, wanted: Mapping[str, float]) -> str | None:
        """The account that gets the next slot; `wanted` has the start of each account's wait.

        The account with the fewest slots comes first, then the one that has waited longest: since
        the given time, or since it last got a slot if that is later.
        """
        return min(wanted, key=lambda name: self._rank(name, wanted[name]), default=None)

    def wanted(self) -> dict[str, float]:
        """The accounts for which `grant` may be called, and since when they wait."""
        found: dict[str, float] = {}
        if self._may_list():
            found.update((name, queue[0].since) for name, queue in self._listings.items())
        found.update((name, queue[0].since) for name, queue in self._calls.items())
        return found

    def take(self, account: str) -> None:
        self._hold(account)
        self._taken += 1
        self._last[account] = self._clock.monotonic(), self._taken

    def grant(self, account: str) -> bool:
        """Give a slot to the first call that waits in this account; False if there is none."""
        if account in self._calls:
            queues = self._calls
        elif account in self._listings and self._may_list():
            queues = self._listings
            self._listing.add(account)
        else:
            return False
        waiter = queues[account][0]
        _leave(queues, account, waiter)
        self.take(account)
        waiter.granted.set()
        return True

    def give_back(self, account: str) -> None:
        self._held[account] -= 1
        self.free += 1
        self.changed.set()

    async def hand_out(self) -> None:
        """Hand out slots until cancelled, for commands that run no poller."""
        while True:
            self.changed.clear()
            while self.free > 0 and (account := self.next_of(self.wanted())) is not None:
                self.grant(account)
            await self.changed.wait()

    @asynccontextmanager
    async def slot(self, account: str) -> AsyncIterator[None]:
        """Wait for a slot for a call, and hold it while the body runs."""
        await self._wait(self._calls, account)
        try:
            yield
        finally:
            self.give_back(account)

    @asynccontextmanager
    async def listing(self, account: str) -> AsyncIterator[None]:
        """Wait for a slot for a list call. An account must not make two list calls at a time."""
        try:
            await self._wait(self._listings, account)
            try:
                yield
            finally:
                self.give_back(account)
        finally:
            self._listing.discard(account)

    def of(self, account: str) -> AccountSlots:
        """The slots, as seen by one account's calls."""
        return AccountSlots(self, account)

    @contextmanager
    def released(self, account: str) -> Iterator[None]:
        """Give the slot of a call to others while the body runs.

        Afterwards a slot is taken without waiting, even if more than `count` are held then. The
        caller must then end, or `acquire` a slot before its next request.
        """
        self.give_back(account)
        try:
            yield
        finally:
            self._hold(account)

    async def acquire(self, account: str) -> None:
        """Give the slot of a call back and wait for another one."""
        self.give_back(account)
        try:
            await self._wait(self._calls, account)
        except BaseException:
            self._hold(account)  # it is given back when the call ends
            raise

    async def _wait(self, queues: _Queues, account: str) -> None:
        """Wait for a slot. If this raises, none is held."""
        waiter = _Waiter(self._clock.monotonic(), asyncio.Event())
        queues[account].append(waiter)
        self.changed.set()
        try:
            await waiter.granted.wait()
        except asyncio.CancelledError:
            if waiter.granted.is_set():
                self.give_back(account)
            else:
                _leave(queues, account, waiter)
            raise

    def _rank(self, account: str, since: float) -> tuple[int, float, int]:
        at, number = self._last.get(account, (since, 0))
        return self._held[account], max(since, at), number

    def _hold(self, account: str) -> None:
        self._held[account] += 1
        self.free -= 1

    def _may_list(self) -> bool:
        """Whether another list call may start.

        An account without slots does not count: its list call waits for a token or for a retry.
        """
        return sum(self._held[account] > 0 for account in self._listing) < self._max_listings


class AccountSlots:
    """Controls when the calls of one account may send requests, each with a slot."""

    def __init__(self, slots: RequestSlots, account: str) -> None:
        self._slots = slots
        self._account = account

    def released(self) -> AbstractContextManager[None]:
        return self._slots.released(self._account)

    async def acquire(self) -> None:
        await self._slots.acquire(self._account)


def _leave(queues: _Queues, account: str, waiter: _Waiter) -> None:
    queues[account].remove(waiter)
    if not queues[account]:
        del queues[account]
