"""The questions of a run: every account's way to the API, how many at once, how fast.

What is asked of whom is decided in `job`; pauses are `gate`'s, retries and tokens the client's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from random import Random
from typing import TypeAlias, TypeVar

from exporter.backfill.places import Places
from exporter.backfill.throttle import Gate
from exporter.clock import Clock
from exporter.config import Account, Config
from exporter.model import Bucket, DayStats, Fault, pause_seconds
from exporter.upstream.account import Access, Shared, tls_contexts_now
from exporter.upstream.client import Client
from exporter.upstream.discovery import EMPTIES_TO_BELIEVE, Inventory
from exporter.upstream.events import Attempt, Call, Drift
from exporter.upstream.parsing import Guard
from exporter.upstream.rate_limit import Pace

Answer: TypeAlias = DayStats | Fault

T = TypeVar("T")


class Watcher:
    """Counts what is odd about the answers; it is the observer of every client."""

    def __init__(self) -> None:
        self.oddities = 0

    def attempted(self, attempt: Attempt) -> None:
        """Not counted here: there is nobody to scrape it."""

    def retrying(self, account: str, call: Call) -> None:
        """Not counted here."""

    def drifted(self, drift: Counter[Drift]) -> None:
        """Count places that differ from the API's documentation."""
        self.oddities += drift.total()


class Asking:
    """Asks the accounts of a configuration; `answered` is told of each day of a bucket."""

    def __init__(
        self, config: Config, clock: Clock, chance: Random, answered: Callable[[], None]
    ) -> None:
        limits = config.limits
        guard = Guard(frozenset(config.known_statuses), limits.max_nodes_per_bucket)
        self.watcher = Watcher()
        self._clock = clock
        self._answered = answered
        self._pace = Pace(limits.max_requests_per_second, clock)
        shared = Shared(limits, guard, self._pace, clock, chance, self.watcher)
        self._at_once = limits.max_concurrent_requests
        self._places = Places(self._at_once)
        contexts = tls_contexts_now(config.accounts)
        self._accesses = {
            account.name: Access(account, shared, contexts[account.tls], self._pace)
            for account in config.accounts
        }
        self._gates = {each.name: _gate(each, clock) for each in config.accounts}

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """While the body runs, questions may be asked; then the connections are closed."""
        try:
            async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
                for access in self._accesses.values():
                    stack.push_async_callback(access.aclose)
                running = [
                    group.create_task(access.credentials.run(lambda: None))
                    for access in self._accesses.values()
                ]
                try:
                    yield
                finally:
                    for task in running:
                        task.cancel()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def day(
        self, day: date, buckets: Iterable[Bucket], take: Callable[[Bucket, Answer], None]
    ) -> None:
        """Ask for a day of each bucket, and hand over what came of each as it comes.

        An empty answer may be a fault upstream: when all have been asked it is asked for once more,
        and what comes then counts. Raises what `take` raises.
        """
        empty: list[Bucket] = []

        def take_first(bucket: Bucket, answer: Answer) -> None:
            if isinstance(answer, DayStats) and not answer.nodes:
                empty.append(bucket)
            else:
                take_last(bucket, answer)

        def take_last(bucket: Bucket, answer: Answer) -> None:
            take(bucket, answer)
            self._answered()

        await self._ask_each(day, buckets, take_first)
        await self._ask_each(day, empty, take_last)

    async def inventory(self, account: Account) -> Inventory:
        """What the account's listing tells; an empty one is asked for once more."""
        inventory = Inventory()
        discovery = account.discovery
        while discovery is not None:
            result = await self._ask(
                account.name, lambda client: client.buckets(discovery.workspace_id)
            )
            inventory = inventory.after(result, self._clock.now())
            if inventory.fault is not None or not 0 < inventory.empties < EMPTIES_TO_BELIEVE:
                break
        return inventory

    async def _ask_each(
        self, day: date, buckets: Iterable[Bucket], take: Callable[[Bucket, Answer], None]
    ) -> None:
        by_account: dict[str, list[Bucket]] = {}
        for bucket in buckets:
            by_account.setdefault(bucket.account, []).append(bucket)

        async def work(waiting: Iterator[Bucket]) -> None:
            for bucket in waiting:
                take(bucket, await self._day_stats(bucket, day))
                await asyncio.sleep(0)  # an account that was given up answers without a wait

        try:
            async with asyncio.TaskGroup() as group:
                for asked in by_account.values():
                    waiting = iter(asked)  # shared: each takes the next
                    for _ in range(min(self._at_once, len(asked))):
                        group.create_task(work(waiting))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _day_stats(self, bucket: Bucket, day: date) -> Answer:
        return await self._ask(bucket.account, lambda client: client.day_stats(bucket.id, day))

    async def _ask(
        self, account: str, question: Callable[[Client], Awaitable[T | Fault]]
    ) -> T | Fault:
        client = self._accesses[account].client
        gate = self._gates[account]
        return await gate.ask(lambda: question(client), lambda: self._turn(account))

    @asynccontextmanager
    async def _turn(self, account: str) -> AsyncIterator[None]:
        """While the body runs, one more request of the account may be under way."""
        async with self._places.place(account):
            await self._pace.turn()
            yield


def _gate(account: Account, clock: Clock) -> Gate:
    """Refusals are put to the test again as in polling, but nobody waits for hours."""
    timing = account.timing
    return Gate(account.name, lambda before: pause_seconds(timing.refusal_wait(before)), clock)
