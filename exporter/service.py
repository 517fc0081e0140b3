"""The composition root: builds every part from a configuration and lets them run.

Parts are only put together here; what they do is decided in them.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from prometheus_client import disable_created_metrics

from exporter.journal import note_transition
from exporter.model import Reading
from exporter.poller import Poller
from exporter.schedule import Schedule
from exporter.store import Store
from exporter.telemetry import Telemetry
from exporter.upstream.client import Client
from exporter.upstream.credentials import GivenToken, TokenFile
from exporter.upstream.events import Call
from exporter.upstream.pace import Pace
from exporter.upstream.parsing import Guard
from exporter.upstream.transport import Transport, connections
from exporter.version import VERSION, revision
from exporter.web.app import Endpoints, make_app
from exporter.web.listen import ListenAddress, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from random import Random

    import httpx

    from exporter.clock import Clock
    from exporter.config import Account, Config
    from exporter.model import Bucket, Outcome
    from exporter.upstream.credentials import Credentials

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    listen_addresses: tuple[ListenAddress, ...]
    telemetry_path: str = "/metrics"
    max_requests: int = 40
    exporter_metrics: bool = True


class Exporter:
    """The polling and what it knows, without the web in front of it."""

    def __init__(self, config: Config, telemetry: Telemetry, clock: Clock, chance: Random) -> None:
        now = clock.now()
        self._config = config
        self._telemetry = telemetry
        self._clock = clock
        self._chance = chance
        self._clients: dict[str, Client] = {}
        self._store = Store(config.known_statuses)
        self._schedule = Schedule(now)
        self._pace = Pace(config.limits.max_requests_per_second, clock)
        self._unpolled = {bucket.key for bucket in config.buckets()}
        self.first_round_done = asyncio.Event()
        for account in config.accounts:
            for bucket in account.buckets:
                self._store.add(bucket, account.timing, now)
                self._schedule.add(bucket, account.timing, now.monotonic)
        self._poller = Poller(
            self._schedule,
            self._poll,
            self._publish,
            max_concurrent=config.limits.max_concurrent_requests,
            pace=self._pace,
            clock=clock,
        )
        for account in config.accounts:
            telemetry.expect(account.name, [Call.STATS])
        telemetry.watch(self)

    async def run(self) -> None:
        """Poll until cancelled."""
        async with AsyncExitStack() as stack:
            for account in self._config.accounts:
                http = connections(self._config.limits.max_concurrent_requests)
                self._clients[account.name] = self._client(
                    account, await stack.enter_async_context(http)
                )
            await self._poller.run()

    def exposition(self, openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - one of two formats
        """Everything that may be shown now."""
        yield from self._store.page(self._clock.monotonic())
        yield self._telemetry.openmetrics() if openmetrics else self._telemetry.text()

    def is_healthy(self) -> bool:
        """Whether the poll loop beats."""
        return self._poller.is_alive()

    def is_ready(self) -> bool:
        """Whether the first round is done: each bucket polled, failed or paused. Then for good."""
        if not self.first_round_done.is_set():
            paused = self._schedule.paused(self._clock.monotonic())
            if all(key.account in paused for key in self._unpolled):
                self.first_round_done.set()
        return self.first_round_done.is_set()

    def failing(self) -> tuple[Bucket, ...]:
        """The buckets of which there is no good newest poll."""
        return tuple(
            entry.bucket for entry in self._store if not isinstance(entry.state.newest, Reading)
        )

    def bucket_count(self) -> int:
        """How many buckets are polled."""
        return len(self._store)

    def lag(self) -> float:
        """How late the most overdue poll is, seconds."""
        return self._schedule.lag(self._clock.monotonic())

    def paused_until(self) -> dict[str, float]:
        """The accounts that a 429 has paused, and until when, Unix time."""
        now = self._clock.now()
        return {
            account: now.wall + until - now.monotonic
            for account, until in self._schedule.paused(now.monotonic).items()
        }

    async def _poll(self, bucket: Bucket) -> Outcome:
        return await self._clients[bucket.account].poll(bucket)

    def _publish(self, bucket: Bucket, outcome: Outcome) -> None:
        before, after = self._store.record(bucket, outcome)
        note_transition(bucket, before, after)
        self._unpolled.discard(bucket.key)
        self.is_ready()

    def _client(self, account: Account, http: httpx.AsyncBaseTransport) -> Client:
        limits = self._config.limits
        return Client(
            account.name,
            account.base_url,
            transport=Transport(http, limits.max_response_bytes),
            credentials=_credentials(account),
            timing=account.timing,
            guard=Guard(frozenset(self._config.known_statuses), limits.max_nodes_per_bucket),
            user_agent=f"flashback-exporter/{VERSION}",
            pace=self._pace,
            clock=self._clock,
            chance=self._chance,
            observer=self._telemetry,
        )


@asynccontextmanager
async def serving(
    config: Config, options: Options, clock: Clock, chance: Random
) -> AsyncIterator[tuple[ListenAddress, ...]]:
    """The exporter polls and serves while the body runs; gives the addresses it listens on.

    Raises ListenError where it cannot listen. A bug in a poll cancels the body and is raised.
    """
    exporter = Exporter(config, _telemetry(runtime_metrics=options.exporter_metrics), clock, chance)
    endpoints = Endpoints(
        telemetry_path=options.telemetry_path,
        max_requests=options.max_requests,
        exposition=exporter.exposition,
        is_healthy=exporter.is_healthy,
        is_ready=exporter.is_ready,
        version=VERSION,
    )
    async with served(make_app(endpoints), options.listen_addresses) as addresses:
        for address in addresses:
            _log.info("listening", address=str(address))
        async with asyncio.TaskGroup() as group:
            polling = group.create_task(exporter.run())
            try:
                yield addresses
            finally:
                polling.cancel()


async def polled_once(
    config: Config, clock: Clock, chance: Random, *, exporter_metrics: bool
) -> tuple[bytes, tuple[Bucket, ...]]:
    """The exposition in the text format after one poll of each bucket, and the buckets that failed.

    A bucket that was not polled since a 429 paused its account counts as failed.
    """
    exporter = Exporter(config, _telemetry(runtime_metrics=exporter_metrics), clock, chance)
    async with asyncio.TaskGroup() as group:
        polling = group.create_task(exporter.run())
        await exporter.first_round_done.wait()
        polling.cancel()
    return b"".join(exporter.exposition(openmetrics=False)), exporter.failing()


def _telemetry(*, runtime_metrics: bool) -> Telemetry:
    # No _created series: the client library has only a global switch.
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
    return Telemetry(VERSION, revision(), runtime_metrics=runtime_metrics)


def _credentials(account: Account) -> Credentials:
    if isinstance(account.credentials, Path):
        return TokenFile(account.credentials)
    return GivenToken(account.credentials.get_secret_value())
