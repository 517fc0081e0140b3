"""A whole poll over loopback, recorded, beside other clients that make the same POST.

All keep sixteen requests in flight over connections that stay open. The other clients do less:
they decode the JSON and drop it, without checks, retries, counters or text.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from itertools import cycle
from random import Random
from typing import Any, TypeAlias

import aiohttp
import httpx

from benchmarks import fake_api
from benchmarks.processes import Round, cpu_seconds
from benchmarks.report import Row, milliseconds
from exporter.clock import Clock, SystemClock
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model import GoodPoll, Timing
from exporter.polling.targets import Targets
from exporter.upstream.client import Client
from exporter.upstream.credentials import StaticToken
from exporter.upstream.parsing import AnswerLimits
from exporter.upstream.rate_limit import RateLimiter
from exporter.upstream.request import Requester
from exporter.upstream.transport import Transport, connections

Poll: TypeAlias = Callable[[], Awaitable[object]]

CONCURRENT = 16
BUCKETS = 500
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"  # noqa: S105 - nobody's
HEADERS = {
    "User-Agent": "flashback-exporter/benchmark",
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "Content-Type": "application/json",
    "Authorization": f"Bearer {TOKEN}",
}
TIMING = Timing()
LIMITS = AnswerLimits(frozenset(fake_api.STATUSES), 1000)
BODY = b'{"day":"2024-01-15T00:00:00.000Z"}'


def compare(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """CPU time of one poll."""
    polls, rounds = (200, 1) if quick else (2000, 7)
    clients = {"exporter": _exporter_polls, "httpx": _httpx_posts, "aiohttp": _aiohttp_posts}
    with fake_api.served() as port, ExitStack() as stack:
        url = f"http://127.0.0.1:{port}"
        work = {name: stack.enter_context(_polling(of(url), polls)) for name, of in clients.items()}
        cost = cpu_seconds(work, rounds)
    shown = {name: milliseconds(seconds) for name, seconds in cost.items()}
    what = f"{CONCURRENT} at once"
    return [
        Row("poll", what, shown["exporter"], "plain httpx", shown["httpx"], "≤ 0.2 x"),
        Row("poll", what, shown["exporter"], "bare aiohttp", shown["aiohttp"], "≤ 2.5 x"),
    ]


@asynccontextmanager
async def _exporter_polls(url: str) -> AsyncIterator[Poll]:
    """The exporter's own client, counters and texts."""
    clock = SystemClock()
    targets, now = Targets(), clock.now()
    buckets = ((fake_api.bucket(number), TIMING) for number in range(BUCKETS))
    targets.sync(targets.prepare(buckets, fake_api.STATUSES, now), now)
    turns = cycle(targets)
    transport = Transport(connections(CONCURRENT, ssl.create_default_context()))
    client = _client(url, transport, clock)

    async def poll() -> None:
        target = next(turns)
        outcome = await client.poll(target.bucket)
        if not isinstance(outcome, GoodPoll):
            raise TypeError(f"a poll failed: {outcome}")
        targets.record(target, outcome)

    yield poll
    await transport.aclose()


def _client(url: str, transport: Transport, clock: Clock) -> Client:
    self_metrics = SelfMetrics("", "", runtime_metrics=False)
    requester = Requester(
        "main",
        url,
        transport=transport,
        timeout=TIMING.poll_timeout,
        max_response_bytes=8 * 2**20,
        user_agent=HEADERS["User-Agent"],
        clock=clock,
        observer=self_metrics,
    )
    return Client(
        requester,
        StaticToken(TOKEN),
        answer_limits=LIMITS,
        deadline=TIMING.poll_interval,
        turns=RateLimiter(1e6, clock),
        clock=clock,
        chance=Random(),  # noqa: S311 - spreads retries
    )


@asynccontextmanager
async def _httpx_posts(url: str) -> AsyncIterator[Poll]:
    async with httpx.AsyncClient(trust_env=False) as client:

        async def post() -> Any:  # noqa: ANN401 - any JSON
            response = await client.post(f"{url}/bucket/b/stats", content=BODY, headers=HEADERS)
            return response.raise_for_status().json()

        yield post


@asynccontextmanager
async def _aiohttp_posts(url: str) -> AsyncIterator[Poll]:
    async with aiohttp.ClientSession(raise_for_status=True) as session:

        async def post() -> Any:  # noqa: ANN401 - any JSON
            async with session.post(f"{url}/bucket/b/stats", data=BODY, headers=HEADERS) as answer:
                return await answer.json()

        yield post


@contextmanager
def _polling(polls: AbstractAsyncContextManager[Poll], count: int) -> Iterator[Round]:
    """Rounds of `count` polls on one event loop, so that connections outlive a round."""
    with asyncio.Runner() as runner:
        poll = runner.run(polls.__aenter__())

        def do_round() -> int:
            runner.run(_in_flight(poll, count))
            return count

        yield do_round
        runner.run(polls.__aexit__(None, None, None))


async def _in_flight(poll: Poll, count: int) -> None:
    """Make `count` polls, CONCURRENT of them at a time."""
    tickets = iter(range(count))

    async def work() -> None:
        for _ in tickets:
            await poll()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENT):
            group.create_task(work())
