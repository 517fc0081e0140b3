"""Slow, silent, greedy or faulty clients do not delay scrapes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import httpx
import pytest

from exporter.web import server
from exporter.web.app import Endpoints, make_app
from exporter.web.server import MAX_HEADERS, MAX_LINE, ListenAddress, Timeouts, serve
from tests.web.guarded import LOOPBACK, TLS, Site, browser, guarded
from tests.web.raw import SCRAPE, raw
from tests.web.test_app import ENDPOINTS

SHORT = Timeouts(handshake=1, head=1, body=0.1, shutdown=0.1)
"""Long enough for normal clients on the loopback, and short enough for a test."""

PATIENT = Timeouts()
SCRAPES = 20
ENDLESS = replace(ENDPOINTS, exposition=lambda _: repeat(b"x" * 1_000_000))


@asynccontextmanager
async def run_app(
    endpoints: Endpoints = ENDPOINTS, timeouts: Timeouts = PATIENT
) -> AsyncIterator[ListenAddress]:
    """Serve the endpoints without security; yields their address."""
    async with serve(make_app(endpoints), [LOOPBACK], timeouts=timeouts) as (address,):
        yield address


async def assert_scrapes_go_on(client: httpx.AsyncClient) -> None:
    """Assert that scrapes succeed, over an open connection and over new ones."""
    for number in range(SCRAPES):
        headers = {"Connection": "close"} if number % 2 else {}
        async with asyncio.timeout(5):
            response = await client.get("/metrics", headers=headers)
        assert response.status_code == 200
        assert len(response.content) == 400_004


async def test_silence_in_the_place_of_tls(tmp_path: Path) -> None:
    """A client that does not start the TLS handshake is disconnected, and delays no scrape."""
    site = Site(tmp_path, TLS)
    async with (
        guarded(site.security(), timeouts=SHORT) as address,
        browser(address, site.client_context()) as client,
        AsyncExitStack() as stack,
    ):
        silent = [await stack.enter_async_context(raw(address)) for _ in range(50)]
        silent[0].send(b"\x16\x03\x01")
        await assert_scrapes_go_on(client)
        assert [await connection.rest() for connection in silent] == [b""] * 50


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (SCRAPE, b"HTTP/1.1 400 Bad Request\r\n"),
        (b"\0\xff garbage\r\n\r\n", b""),
        (b"\x16\x03\x01\x02\0\x01\0\x01", b""),
    ],
)
async def test_no_tls_on_a_tls_port(tmp_path: Path, said: bytes, answer: bytes) -> None:
    """Plain HTTP or garbage on a TLS port ends the connection, and delays no scrape."""
    site = Site(tmp_path, TLS)
    async with (
        guarded(site.security(), timeouts=SHORT) as address,
        browser(address, site.client_context()) as client,
        raw(address) as connection,
    ):
        connection.send(said)
        received = await connection.rest()
        assert received.startswith(answer)
        assert (b"HTTP" in received) == (b"HTTP" in answer)
        await assert_scrapes_go_on(client)


async def test_slow_headers() -> None:
    """A client that sends its headers slowly is disconnected at the timeout."""
    async with (
        run_app(timeouts=SHORT) as address,
        browser(address) as client,
        AsyncExitStack() as stack,
    ):
        slow = [await stack.enter_async_context(raw(address)) for _ in range(50)]
        for connection in slow:
            connection.send(SCRAPE[:-2])

        async def trickle() -> None:
            while not all(connection.reader.at_eof() for connection in slow):
                for connection in slow:
                    connection.send(b"X")
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            trickling = group.create_task(trickle())
            await assert_scrapes_go_on(client)
            assert [await connection.rest() for connection in slow] == [b""] * 50
            trickling.cancel()


@pytest.mark.parametrize("first", [b"", SCRAPE.replace(b"GET /metrics", b"GET /-/healthy")])
async def test_idle_connections(first: bytes) -> None:
    """Idle connections, before or after a request, are closed at the timeout."""
    async with (
        run_app(timeouts=SHORT) as address,
        browser(address) as client,
        AsyncExitStack() as stack,
    ):
        idle = [await stack.enter_async_context(raw(address)) for _ in range(200)]
        for connection in idle:
            connection.send(first)
        await assert_scrapes_go_on(client)
        for connection in idle:
            assert (await connection.rest()).startswith(b"HTTP/1.1 200" if first else b"")


async def test_slow_readers() -> None:
    """A client that reads a page too slowly is disconnected, which frees its place."""
    endless = replace(ENDLESS, max_requests=2, send_timeout=0.3)
    async with run_app(endless) as address, AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(raw(address, limit=1)) for _ in range(2)]
        for connection in slow:
            connection.send(SCRAPE)
            assert await connection.reader.readexactly(1) == b"H"
        async with raw(address) as refused:
            refused.send(SCRAPE)
            assert (await refused.head()).startswith("HTTP/1.1 503")
        for connection in slow:
            await connection.rest()
        async with raw(address) as connection:
            connection.send(SCRAPE)
            assert (await connection.head()).startswith("HTTP/1.1 200")


async def test_one_slow_reader_among_others() -> None:
    """A client that reads a byte at a time does not slow down the scrapes of others."""

    def pages(openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - as the exporter's
        return iter([b"a 1\n" * 100_001] * (100 if openmetrics else 1))

    async with (
        run_app(replace(ENDPOINTS, exposition=pages)) as address,
        browser(address) as client,
        raw(address, limit=1) as slow,
    ):
        slow.send(SCRAPE.replace(b"\r\n\r\n", b"\r\nAccept: application/openmetrics-text\r\n\r\n"))
        for _ in range(3):
            assert await slow.reader.readexactly(1)
            await assert_scrapes_go_on(client)


async def test_pipelined_requests() -> None:
    """A hundred pipelined requests get responses in order, while other clients are served."""
    small = SCRAPE.replace(b"/metrics", b"/nowhere")
    async with run_app() as address, browser(address) as client, raw(address) as connection:
        connection.send(
            SCRAPE + small * 98 + SCRAPE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        await assert_scrapes_go_on(client)
        received = await connection.rest()
        assert received.count(b"HTTP/1.1 200 OK") == 2
        assert received.count(b"HTTP/1.1 404 Not Found") == 98
        assert received.index(b"b 2\n") < received.index(b"404")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"GET /" + b"a" * MAX_LINE + b" HTTP/1.1\r\n\r\n", id="long line"),
        pytest.param(b"GET /" + b"a" * 10_000_000, id="endless line"),
        pytest.param(SCRAPE[:-2] + b"X: a" + b"a" * MAX_LINE + b"\r\n\r\n", id="long header"),
        pytest.param(SCRAPE[:-2] + b"X: " + b"a" * 10_000_000, id="endless header"),
        pytest.param(SCRAPE[:-2] + b"X: a\r\n" * MAX_HEADERS + b"\r\n", id="many headers"),
        pytest.param(SCRAPE[:-2] + b"X\0Y: a\r\n\r\n", id="bad header"),
        pytest.param(SCRAPE[:-2] + b"Content-Length: x\r\n\r\n", id="bad length"),
        pytest.param(SCRAPE[:-2] + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", id="lengths"),
        pytest.param(b"\0\xff\xfe\r\n\r\n", id="garbage"),
        pytest.param(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 500, id="TLS"),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="HTTP/9.9"),
        pytest.param(b"GET http://[::1/ HTTP/1.1\r\n\r\n", id="bad URL"),
    ],
)
async def test_what_is_no_request(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """An invalid request gets a 400 that quotes nothing of it, and is not logged."""
    async with run_app() as address, browser(address) as client, raw(address) as connection:
        connection.send(said)
        received = await connection.rest()
        await assert_scrapes_go_on(client)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert b"Server: flashback-exporter\r\n" in head
    assert body == b"Bad Request\n"
    assert not caplog.records


@pytest.mark.parametrize(
    "announced",
    [
        b"Content-Length: 1000000000\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n",
    ],
)
async def test_unwanted_bodies(announced: bytes) -> None:
    """The server responds without waiting for a request's body, and then closes."""
    async with (
        run_app(timeouts=SHORT) as address,
        browser(address) as client,
        raw(address) as connection,
    ):
        connection.send(SCRAPE.replace(b"/metrics", b"/-/healthy")[:-2] + announced + b"\r\n5\r\n")
        assert (await connection.head()).startswith("HTTP/1.1 200")
        connection.send(b"x" * 1000)
        await assert_scrapes_go_on(client)
        assert b"500" not in await connection.rest()


async def test_clients_that_go_away(caplog: pytest.LogCaptureFixture) -> None:
    """A client that disconnects during a page is not logged, and its place is freed."""
    async with run_app(replace(ENDLESS, max_requests=3)) as address:
        for _ in range(10):
            async with raw(address) as connection:
                connection.send(SCRAPE)
                assert (await connection.head()).startswith("HTTP/1.1 200")
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - they are the server's
                await asyncio.sleep(0)
    assert not caplog.records


@pytest.mark.parametrize("after", [0, 1])
async def test_a_bug_is_an_event(caplog: pytest.LogCaptureFixture, after: int) -> None:
    """An exception in the exporter is logged with its traceback, and not sent to the client."""

    def broken(_: bool) -> Iterator[bytes]:  # noqa: FBT001 - as the exporter's
        yield from [b"x" * 100_000] * after
        raise ValueError("hunter2")

    async with (
        run_app(replace(ENDPOINTS, exposition=broken)) as address,
        raw(address) as connection,
    ):
        connection.send(SCRAPE)
        received = await connection.rest()
    assert b"hunter2" not in received
    assert not received.endswith(b"0\r\n\r\n")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("aiohttp.server", logging.ERROR)
    assert record.exc_info


async def test_shutdown_disconnects_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the server stops, idle and slow clients are disconnected after a grace period."""
    monkeypatch.setattr(server, "FINISH_SECONDS", 0.1)
    async with AsyncExitStack() as stack:
        async with run_app(ENDLESS) as address:
            clients = [await stack.enter_async_context(raw(address, limit=1)) for _ in range(3)]
            clients[1].send(SCRAPE[:-2])
            clients[2].send(SCRAPE)
            assert await clients[2].reader.readexactly(1) == b"H"
        for client in clients:
            await client.rest()
