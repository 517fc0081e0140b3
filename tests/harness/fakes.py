"""Fakes of the clock and the observer, and simple values, for tests."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from heapq import heappop, heappush

from exporter.model import (
    ApiError,
    Bucket,
    DayStats,
    FailedPoll,
    GoodPoll,
    Instant,
    Node,
    Reason,
)
from exporter.upstream.events import Attempt, Call, Drift

NOON = 1705320000.0
"""2024-01-15T12:00:00Z."""

MIDNIGHT = 1705363200.0
"""2024-01-16T00:00:00Z, the midnight after NOON."""


class FakeClock:
    """A clock that only moves when a test moves it."""

    def __init__(self, wall: float = NOON, monotonic: float = 1000.0) -> None:
        self._now = Instant(wall, monotonic)
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._set = 0

    def now(self) -> Instant:
        return self._now

    def monotonic(self) -> float:
        return self._now.monotonic

    async def sleep(self, seconds: float) -> None:
        await self.wait(asyncio.Event(), seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        try:
            async with self.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        async with asyncio.timeout(None) as scope:
            active = [True]
            self._set += 1
            due = self._now.monotonic + seconds
            expire = self._expiry(scope, active)
            heappush(self._timers, (due, self._set, expire))
            try:
                yield
            finally:
                active.clear()

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock, as an administrator does."""
        self._now = Instant(self._now.wall + seconds, self._now.monotonic)

    async def advance(self, seconds: float) -> None:
        """Let time pass, and fire the timers that become due, in order."""
        end = self._now.monotonic + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            due, _, expire = heappop(self._timers)
            self.move_to(max(due, self._now.monotonic))
            expire()
            await settle()
        self.move_to(end)

    def move_to(self, monotonic: float) -> None:
        """Let time pass without firing timers."""
        wall = self._now.wall + monotonic - self._now.monotonic
        self._now = Instant(wall, monotonic)

    @staticmethod
    def _expiry(scope: asyncio.Timeout, active: list[bool]) -> Callable[[], None]:
        def expire() -> None:
            if active:
                scope.reschedule(0)

        return expire


async def settle() -> None:
    """Let all tasks run until they wait for time or sockets."""
    for _ in range(20):
        await asyncio.sleep(0)


class Recorder:
    """An observer that keeps what is reported to it."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.retries: list[tuple[str, Call]] = []
        self.drifts: list[Counter[Drift]] = []

    def attempted(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def retrying(self, account: str, call: Call) -> None:
        self.retries.append((account, call))

    def drifted(self, drift: Counter[Drift]) -> None:
        self.drifts.append(drift)


def bucket(bucket_id: str = "b1", account: str = "main", **labels: str) -> Bucket:
    """A bucket whose name is made from its id."""
    return Bucket(account, bucket_id, f"name of {bucket_id}", labels)


def node(host: str = "h1", **fields: float | str | None) -> Node:
    """A node with only the given fields."""
    return Node(ip="192.0.2.1", host=host, **fields)  # type: ignore[arg-type] # by keyword


def reading(now: Instant, *nodes: Node, duration: float = 0.25) -> GoodPoll:
    """A good poll for today that ended now."""
    return GoodPoll(DayStats(now.day, nodes), now, duration)


def failure(
    now: Instant, reason: Reason = Reason.TIMEOUT, retry_after: float | None = None
) -> FailedPoll:
    """A poll that failed now."""
    return FailedPoll(ApiError(reason, f"because of {reason}", retry_after), now, 0.5)


def after(now: Instant, seconds: float) -> Instant:
    """The moment `seconds` later, on both clocks."""
    return Instant(now.wall + seconds, now.monotonic + seconds)


def jwt(**claims: object) -> str:
    """A token like those of Flashback, with these claims and an invalid signature."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    encoded = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join([*encoded, "signature"])
