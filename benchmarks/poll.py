"""A complete poll over loopback, compared with other clients that send the same POST.

All send sixty requests a second, evenly spaced, over kept-alive connections: a process that idles
between requests uses more CPU per request than one in a tight loop. The other clients do less: they
decode the JSON and drop it, without checks, retries, counters or text. Garbage is collected as in
`run`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import aiohttp
import httpx

from benchmarks import fake_api
from benchmarks.processes import cpu_seconds
from benchmarks.table import Row
from exporter import config
from exporter.clock import SystemClock
from exporter.gc_tuning import GcTuner
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model import GoodPoll
from exporter.polling.targets import Targets
from exporter.upstream.account import AccountClient, ClientContext
from exporter.upstream.rate_limit import RateLimiter

Poll: TypeAlias = Callable[[], Awaitable[object]]

RATE = 60  # requests a second
BUCKETS = 500
CONFIG = """\
global: {{base_url: "{url}"}}
accounts: [{{name: main, authorization: {{credentials: e30.e30.e30}}, buckets: [b]}}]
"""
HEADERS = {
    "User-Agent": "flashback-exporter/benchmark",
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "Content-Type": "application/json",
    "Authorization": "Bearer e30.e30.e30",
}
BODY = b'{"day":"2024-01-15T00:00:00.000Z"}'


def compare(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """CPU time of one poll."""
    polls, rounds = (30, 1) if quick else (300, 7)
    clients = {"exporter": _exporter_polls, "httpx": _httpx_posts, "aiohttp": _aiohttp_posts}
    with fake_api.served() as url, asyncio.Runner() as runner:
        stack = AsyncExitStack()  # one event loop, so that connections outlive a round
        _tuner = runner.get_loop().create_task(GcTuner(SystemClock()).run())  # ends with the runner
        work = {
            name: partial(_round, runner, runner.run(stack.enter_async_context(client(url))), polls)
            for name, client in clients.items()
        }
        cost = cpu_seconds(work, rounds)
        runner.run(stack.aclose())
    what = f"{RATE} a second"
    return [
        Row("poll", what, "ms", cost["exporter"], "plain httpx", cost["httpx"], "≤ 0.55 x"),
        Row("poll", what, "ms", cost["exporter"], "bare aiohttp", cost["aiohttp"], "≤ 1.35 x"),
    ]


@asynccontextmanager
async def _exporter_polls(url: str) -> AsyncIterator[Poll]:
    """The exporter's client, including counters and rendering."""
    clock, targets = SystemClock(), Targets()
    settings = config.parse(CONFIG.format(url=url), path=Path("benchmark.yaml"), environ={})
    (account,) = settings.accounts
    polled = ((fake_api.bucket(number), account.timing) for number in range(BUCKETS))
    targets.sync(targets.prepare(polled, fake_api.STATUSES, clock.now()), clock.now())
    context = ClientContext(
        settings.limits,
        fake_api.LIMITS,
        RateLimiter(1e6, clock),
        clock,
        Random(),  # noqa: S311 - spreads retries
        SelfMetrics("", "", runtime_metrics=False),
    )
    client = AccountClient(account, context, ssl.create_default_context(), context.rate_limiter)
    turns = cycle(targets)

    async def poll() -> None:
        target = next(turns)
        result = await client.client.poll(target.bucket)
        if not isinstance(result, GoodPoll):
            raise TypeError(f"a poll failed: {result}")
        targets.record(target, result)

    yield poll
    await client.aclose()


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


def _round(runner: asyncio.Runner, poll: Poll, count: int) -> int:
    runner.run(_spaced(poll, count))
    return count


async def _spaced(poll: Poll, count: int) -> None:
    """Start RATE polls a second, without waiting for earlier ones."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(started + number / RATE - loop.time())
            group.create_task(_poll(poll))


async def _poll(poll: Poll) -> None:
    await poll()
