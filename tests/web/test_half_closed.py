"""Clients that close their side after the last request, and those that never read."""

from __future__ import annotations

import asyncio
import gzip
import socket
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.web.server import serve
from tests.web.guarded import LOOPBACK, TLS, Site, guarded
from tests.web.raw import DEADLINE, SCRAPE, Raw, raw
from tests.web.test_hostile import SHORT, run_app
from tests.web.test_requests import unchunked

CONTENT = b"a 1\n" + b"b 2\n" * 100_000
NOWHERE = SCRAPE.replace(b"/metrics", b"/nowhere")
UPGRADE = SCRAPE[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def rest_after(connection: Raw, said: bytes) -> bytes:
    """Send bytes and close the sending side; returns all that the server sends."""
    connection.send(said)
    connection.writer.write_eof()
    return await connection.rest()


@pytest.mark.parametrize(
    ("said", "pages", "not_found"),
    [
        pytest.param(SCRAPE, 1, 0, id="one"),
        pytest.param(SCRAPE * 3, 3, 0, id="pipelined"),
        pytest.param(SCRAPE + NOWHERE * 200, 1, 200, id="more than aiohttp queues"),
        pytest.param(UPGRADE + SCRAPE * 2, 3, 0, id="after an upgrade"),
        pytest.param(SCRAPE[:-2] + b"Content-Length: 9\r\n\r\nx", 1, 0, id="body cut off"),
        pytest.param(SCRAPE + SCRAPE[:-9], 1, 0, id="head cut off"),
    ],
)
async def test_a_client_that_closes_its_side_is_answered(
    said: bytes, pages: int, not_found: int
) -> None:
    """Each request that is complete before a half-close gets a complete response."""
    async with run_app() as address, raw(address) as connection:
        received = await rest_after(connection, said)
    assert received.count(CONTENT) == received.count(b"HTTP/1.1 200 OK\r\n") == pages
    assert received.count(b"HTTP/1.1 404 Not Found\r\n") == not_found


async def test_a_compressed_page_is_whole() -> None:
    """A gzip response is complete too after the client has half-closed the connection."""
    said = SCRAPE[:-2] + b"Accept-Encoding: gzip\r\n\r\n"
    async with run_app() as address, raw(address) as connection:
        head, _, body = (await rest_after(connection, said)).partition(b"\r\n\r\n")
    content = unchunked(body) if b"Transfer-Encoding: chunked" in head else body
    assert gzip.decompress(content) == CONTENT


@pytest.mark.parametrize("said", [b"", SCRAPE[:-9]])
async def test_a_client_that_asks_nothing_is_gone_at_once(said: bytes) -> None:
    """After a half-close without a complete pending request, the server closes at once."""
    async with run_app() as address, raw(address) as connection, raw(address) as answered:
        assert await rest_after(connection, said) == b""
        answered.send(NOWHERE)
        await answered.head()
        assert b"HTTP" not in await rest_after(answered, said)


async def test_the_end_may_come_while_an_answer_is_made() -> None:
    """A response is sent even if the client half-closes the connection while it is made."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        entered.set()
        await leave.wait()
        return web.Response(text="here")

    async with serve(app(answer), [LOOPBACK]) as (address,), raw(address) as connection:
        connection.send(SCRAPE)
        await entered.wait()
        connection.writer.write_eof()
        async with asyncio.timeout(DEADLINE), raw(address) as other:  # after the half-close
            await rest_after(other, NOWHERE)
        leave.set()
        assert (await connection.rest()).endswith(b"\r\n\r\nhere")


async def test_tls_half_close_ends_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Over TLS, asyncio closes the connection on a half-close, and nothing is logged."""
    site = Site(tmp_path, TLS)
    async with (
        guarded(site.security()) as address,
        raw(address, site.client_context()) as connection,
    ):
        connection.send(NOWHERE)
        await connection.head()
        connection.send(SCRAPE)
        connection.writer.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await connection.rest()
    assert not caplog.records


def app(handler: Handler) -> web.Application:
    application = web.Application()
    application.router.add_get("/metrics", handler)
    return application


@pytest.mark.parametrize("end", ["plain", "half closed", "TLS"])
@pytest.mark.parametrize("size", [1_000_000, 30_000])
async def test_a_client_that_never_reads_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int, end: str
) -> None:
    """A client that never reads is disconnected at the timeout, and nothing is logged."""
    sockets: list[socket.socket] = []
    site = Site(tmp_path, TLS)
    tls = end == "TLS"

    async def answer(request: web.Request) -> web.Response:
        assert request.transport
        sockets.append(request.get_extra_info("socket"))
        response = web.Response(body=b"x" * size)
        if request.transport.get_write_buffer_size():
            response.force_close()  # what is buffered now is never read
        return response

    async with (
        serve(app(answer), [LOOPBACK], site.security().tls if tls else None, SHORT) as (address,),
        raw(address, site.client_context() if tls else None, limit=1) as connection,
        asyncio.timeout(DEADLINE),
    ):
        connection.send(SCRAPE * 1000)
        if end == "half closed":
            connection.writer.write_eof()
        while not sockets or sockets[0].fileno() != -1:  # noqa: ASYNC110 - it is the server's
            await asyncio.sleep(0.01)
    assert not caplog.records
