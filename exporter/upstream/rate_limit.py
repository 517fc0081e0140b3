"""How fast requests may leave the process, and how many at once: fairly shared by the accounts.

A slot is held while a request is under way, not between two attempts or while a token is waited
for: so each falls free within one `poll_timeout`, whatever an API does. Whose turn it is then is
decided here; what is due, and what is done with a slot, is not.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import NamedTuple, Protocol

from exporter.clock import Clock

TOLERANCE_SECONDS = 0.01
"""How much too early a request may leave, so that a high rate needs few wake-ups."""

PAUSE_BOUNDS = (1.0, 300.0)
"""Whatever a 429 asks for, seconds: less would hammer, more would blind."""

DEFAULT_PAUSE = 30.0
"""For a 429 without a Retry-After, seconds."""


def pause_seconds(retry_after: float | None) -> float:
    """How long a 429 with this Retry-After, seconds, keeps from asking again."""
    least, most = PAUSE_BOUNDS
    return DEFAULT_PAUSE if retry_after is None else min(max(retry_after, least), most)


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
        """Reserve the next slot; the seconds until it comes."""
        delay = self.delay()
        self._due = max(self._due, self._clock.monotonic()) + self._spacing
        return delay

    def released(self) -> AbstractContextManager[None]:
        """Nothing is held that could hold up others."""
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
    """Who holds how many slots, and who waits for one.

    Whoever hands slots out calls `take` and `grant`, one at a time, while `free` is positive.
    """

    def __init__(self, count: int, clock: Clock) -> None:
        self.count = count
        self.free = count
        self.changed = asyncio.Event()
        """Set when a slot falls free, and when somebody begins to wait for one."""
        self._clock = clock
        self._held: Counter[str] = Counter()
        self._last: dict[str, tuple[float, int]] = {}  # when each got one; which one of all
        self._taken = 0
        self._calls: _Queues = defaultdict(deque)  # that have begun: before new ones
        self._listings: _Queues = defaultdict(deque)
        self._listing: set[str] = set()  # accounts whose listing is under way
        self._max_listings = max(1, count // 2)  # or listings that hang would be late polls

    def next_of(self, wanted: Mapping[str, float]) -> str | None:
        """The account whose turn it is, of those that want a slot since a moment.

        It is the one that holds the fewest, or of several the one that has waited longest: since
        that moment, or since it last got a slot.
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
        """Take a slot that is free."""
        self._hold(account)
        self._taken += 1
        self._last[account] = self._clock.monotonic(), self._taken

    def grant(self, account: str) -> bool:
        """Give a slot to who waits for one in this account; False if nobody does."""
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
        """Give each free slot to whose turn it is, until cancelled: where there is no poller."""
        while True:
            self.changed.clear()
            while self.free > 0 and (account := self.next_of(self.wanted())) is not None:
                self.grant(account)
            await self.changed.wait()

    @asynccontextmanager
    async def slot(self, account: str) -> AsyncIterator[None]:
        """A slot for a call, waited for."""
        await self._wait(self._calls, account)
        try:
            yield
        finally:
            self.give_back(account)

    @asynccontextmanager
    async def listing(self, account: str) -> AsyncIterator[None]:
        """A slot for an account's listing, waited for; there is one listing at a time of each."""
        try:
            await self._wait(self._listings, account)
            try:
                yield
            finally:
                self.give_back(account)
        finally:
            self._listing.discard(account)

    def of(self, account: str) -> AccountSlots:
        """The slots as the calls of one account see them."""
        return AccountSlots(self, account)

    @contextmanager
    def released(self, account: str) -> Iterator[None]:
        """While the body runs, the slot of a call is another's.

        Afterwards one is held again without waiting, even if there are too many then: the call ends
        now, or waits for a `turn` before its next request.
        """
        self.give_back(account)
        try:
            yield
        finally:
            self._hold(account)

    async def acquire(self, account: str) -> None:
        """Change the slot of a call for another one, waited for."""
        self.give_back(account)
        try:
            await self._wait(self._calls, account)
        except BaseException:
            self._hold(account)  # the call's end will give it back
            raise

    async def _wait(self, queues: _Queues, account: str) -> None:
        """Wait for a slot; none is held where this raises."""
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
        """A listing that waits for a token or its next attempt, and so holds nothing, is none."""
        return sum(self._held[account] > 0 for account in self._listing) < self._max_listings


class AccountSlots:
    """When the calls of one account may make their requests, one slot each."""

    def __init__(self, slots: RequestSlots, account: str) -> None:
        self._slots = slots
        self._account = account

    def released(self) -> AbstractContextManager[None]:
        """While the body runs, no request is under way."""
        return self._slots.released(self._account)

    async def acquire(self) -> None:
        """Return when the next request may leave."""
        await self._slots.acquire(self._account)


def _leave(queues: _Queues, account: str, waiter: _Waiter) -> None:
    queues[account].remove(waiter)
    if not queues[account]:
        del queues[account]
