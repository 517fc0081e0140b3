"""Broken responses to each API call do not leak received data to pages, logs or commands."""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from itertools import cycle
from pathlib import Path
from random import Random

import httpx
import pytest

from exporter.app import poll_once, run_app
from exporter.backfill import Backfill, BackfillOptions
from exporter.cli.check_live import verdict_table, verdicts
from exporter.config import Config, parse
from exporter.logs import configure
from exporter.model import Instant
from exporter.upstream.events import Call
from tests.backfill.runs import Steps
from tests.harness.fakes import NOON
from tests.harness.stack import ANYWHERE
from tests.upstream import scripted
from tests.upstream.test_broken_responses import MARK, whole

PATHS = ("/", "/bucket?account=main&id=b2", "/api/v1/status", "/metrics")
CALLS = {"/user/login": Call.LOGIN, "/user/refresh": Call.REFRESH, "/bucket": Call.LIST}


def ways(call: Call) -> Iterator[bytes]:
    """A response with broken framing, in one variant after the other, endlessly."""
    answer = whole(call, in_chunks=False)
    head, _, body = answer.partition(b"\r\n\r\n")
    return cycle(
        [
            answer.replace(b"Content-Length: ", b"Content-Length: 1"),  # too long
            re.sub(rb"Content-Length: \d+", b"Content-Length: 9", answer),  # too short
            head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + body,
            head.partition(b"\r\n")[2] + b"\r\n\r\n" + body,
            head + body,
            head[:-10],
            body,
        ]
    )


class Api:
    """An API with broken responses to some calls; others are good, and stats responds with 401."""

    def __init__(self, broken: frozenset[Call]) -> None:
        self.broken = broken
        self.ways = {call: ways(call) for call in broken}
        self.broken_sent = 0

    async def answer(self, asked: scripted.Client) -> None:
        call = CALLS.get(asked.path.partition("?")[0], Call.STATS)
        if call in self.broken:
            self.broken_sent += 1
            await asked.send(next(self.ways[call]))
            raise ConnectionResetError
        if call is Call.STATS:
            await asked.send(scripted.http(b"{}", status="401 Unauthorized"))
        else:
            await asked.send(whole(call, in_chunks=False))


def config(url: str) -> Config:
    """An account with login, discovery and one configured bucket."""
    text = (
        f"global: {{base_url: '{url}', poll_interval: 5s, max_requests_per_second: 1000}}\n"
        "accounts:\n  - name: main\n"
        f"    login: {{email: ops@example.com, password: {MARK}-password}}\n"
        "    discovery: {refresh_interval: 10s}\n    buckets: [b2]\n"
    )
    return parse(text, path=Path("config.yaml"), environ={})


@pytest.fixture(
    params=[{Call.LOGIN}, {Call.LIST, Call.STATS}, {Call.REFRESH}],
    ids=lambda calls: " and ".join(sorted(calls)),
)
async def api(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Api, str]]:
    """An API with broken responses to these calls, and its URL."""
    api = Api(frozenset(request.param))
    async with scripted.scripted(api.answer) as server:
        yield api, server.url


class FastClock:
    """A clock that runs faster than real time, so that timeouts come soon."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._start = time.monotonic()

    def now(self) -> Instant:
        passed = self.monotonic()
        return Instant(NOON + passed, passed)

    def monotonic(self) -> float:
        return (time.monotonic() - self._start) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        try:
            async with self.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    def timeout(self, seconds: float) -> asyncio.Timeout:
        return asyncio.timeout(seconds / self._speed)


@asynccontextmanager
async def exporter(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run the exporter and yield an HTTP client for it."""
    clock = FastClock(100)
    work = run_app(lambda: config(url), ANYWHERE, clock, Random(0), asyncio.Event())
    async with (
        work as (address,),
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client,
    ):
        yield client


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
async def test_neither_pages_nor_the_log_show_what_was_received(
    api: tuple[Api, str], log_format: str
) -> None:
    """No page and no log line of a running exporter contains a secret, however responses break."""
    asked, url = api
    log = io.StringIO()
    configure("debug", log_format, log)
    shown: list[str] = []
    async with exporter(url) as client, asyncio.timeout(60):
        while asked.broken_sent < 8 or "failing" not in "".join(shown[-len(PATHS) :]):
            shown += [(await client.get(path)).text for path in PATHS]
    assert "bucket_failing" in log.getvalue()
    assert [text for text in (*shown, log.getvalue()) if MARK in text] == []


async def test_commands_do_not_show_what_was_received(api: tuple[Api, str], tmp_path: Path) -> None:
    """Neither `check --live` nor a backfill's failures contain a secret."""
    _, url = api
    clock = FastClock(20)
    polled = await poll_once(config(url), clock, Random(0))
    table = verdict_table(list(verdicts(polled)))
    assert "FAIL" in table
    day = date(2024, 1, 13)
    order = BackfillOptions(day, day, frozenset(), {}, tmp_path)
    backfill = Backfill(config(url), order, clock, Random(0), Steps())
    await backfill.run()
    failed = "\n".join(backfill.failures.lines())
    assert "main" in failed
    assert MARK not in table + failed + (tmp_path / "failed.json").read_text()
