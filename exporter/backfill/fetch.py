"""Makes the requests of a run, with every account's client, concurrency and rate.

`job` decides what to request; pauses are in `throttle`, retries and tokens in the client.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from random import Random
from typing import TypeAlias, TypeVar

from exporter.backfill.throttle import AccountThrottle
from exporter.clock import Clock
from exporter.config import Account, Config
from exporter.model import ApiError, Bucket, DayStats
from exporter.upstream.account import AccountClient, ClientContext, tls_contexts_now
from exporter.upstream.client import Client
from exporter.upstream.discovery import EMPTY_RESPONSES_TO_ACCEPT, DiscoveryState
from exporter.upstream.events import Attempt, Call, Drift
from exporter.upstream.parsing import ResponseLimits
from exporter.upstream.rate_limit import RateLimiter, RequestSlots, pause_seconds
from exporter.upstream.transport import Connect

Answer: TypeAlias = DayStats | ApiError

T = TypeVar("T")


class DriftCounter:
    """Observer of every client; counts differences from the API's documentation."""

    def __init__(self) -> None:
        self.count = 0

    def attempted(self, attempt: Attempt) -> None:
        """Ignored: nothing scrapes a backfill."""

    def retrying(self, account: str, call: Call) -> None:
        """Ignored."""

    def drifted(self, drift: Counter[Drift]) -> None:
        """Count differences from the API's documentation."""
        self.count += drift.total()


class Fetcher:
    """Makes requests for all accounts of a configuration; calls `answered` after each result."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        rng: Random,
        answered: Callable[[], None],
        connect: Connect,
    ) -> None:
        limits = config.limits
        response_limits = ResponseLimits(
            frozenset(config.known_statuses), limits.max_nodes_per_bucket
        )
        self.drift_counter = DriftCounter()
        self._clock = clock
        self._answered = answered
        self._rate_limiter = RateLimiter(limits.max_requests_per_second, clock)
        shared = ClientContext(
            limits, response_limits, self._rate_limiter, clock, rng, self.drift_counter, connect
        )
        self._at_once = limits.max_concurrent_requests
        self._slots = RequestSlots(self._at_once, clock)
        contexts = tls_contexts_now(config.accounts)
        self._account_clients = {
            account.name: AccountClient(account, shared, contexts[account.tls], self._rate_limiter)
            for account in config.accounts
        }
        self._throttles = {each.name: _throttle(each, clock) for each in config.accounts}

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Allow requests while the body runs, then close the connections."""
        try:
            async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
                for each in self._account_clients.values():
                    stack.push_async_callback(each.aclose)
                running = [group.create_task(self._slots.hand_out())]
                running += [
                    group.create_task(each.credentials.run(lambda: None))
                    for each in self._account_clients.values()
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
        """Request a day of each bucket, and pass each result to `take` when it arrives.

        An empty response may be an error of the API, so it is requested once more after all others,
        and the second response counts. Raises what `take` raises.
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

    async def discovery_state(self, account: Account) -> DiscoveryState:
        """Discover the account's buckets; an empty list is requested once more."""
        discovery_state = DiscoveryState()
        discovery = account.discovery
        while discovery is not None:
            result = await self._ask(
                account.name, lambda client: client.buckets(discovery.workspace_id)
            )
            discovery_state = discovery_state.after(result, self._clock.now())
            if (
                discovery_state.error is not None
                or not 0 < discovery_state.empty_responses < EMPTY_RESPONSES_TO_ACCEPT
            ):
                break
        return discovery_state

    async def _ask_each(
        self, day: date, buckets: Iterable[Bucket], take: Callable[[Bucket, Answer], None]
    ) -> None:
        by_account: dict[str, list[Bucket]] = {}
        for bucket in buckets:
            by_account.setdefault(bucket.account, []).append(bucket)

        async def work(waiting: Iterator[Bucket]) -> None:
            for bucket in waiting:
                take(bucket, await self._day_stats(bucket, day))
                await asyncio.sleep(0)  # otherwise an account that was given up never yields

        try:
            async with asyncio.TaskGroup() as group:
                for asked in by_account.values():
                    waiting = iter(asked)  # shared by all workers
                    for _ in range(min(self._at_once, len(asked))):
                        group.create_task(work(waiting))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _day_stats(self, bucket: Bucket, day: date) -> Answer:
        return await self._ask(bucket.account, lambda client: client.day_stats(bucket.id, day))

    async def _ask(
        self, account: str, request: Callable[[Client], Awaitable[T | ApiError]]
    ) -> T | ApiError:
        client = self._account_clients[account].client
        throttle = self._throttles[account]
        return await throttle.ask(lambda: request(client), lambda: self._turn(account))

    @asynccontextmanager
    async def _turn(self, account: str) -> AsyncIterator[None]:
        """Hold one of the account's request slots while the body runs."""
        async with self._slots.slot(account):
            await self._rate_limiter.acquire()
            yield


def _throttle(account: Account, clock: Clock) -> AccountThrottle:
    """The account's throttle. After a 401 it waits as polling does, up to a limit."""
    timing = account.timing
    return AccountThrottle(
        account.name, lambda before: pause_seconds(timing.refusal_wait(before)), clock
    )
