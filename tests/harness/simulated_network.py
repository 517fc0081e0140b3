"""Replaces the network on virtual time: the simulator on one side, scrapes on the other.

Requests to the API are passed to the simulator without a socket. The exporter serves on a Unix
socket, which delivers at once, so no time passes during a scrape.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import unquote

import aiohttp
import httpx
from aiohttp import web

from exporter.simulator import CallKind, Simulator
from exporter.upstream.transport import Connect
from exporter.web.server import ListenAddress

API_URL = "http://127.0.0.1"
"""All other URLs lead to the simulator too."""

LATENCY = 0.02
"""Seconds until a request arrives."""

ROUTES = {
    ("GET", "/bucket"): CallKind.LIST,
    ("POST", "/user/login"): CallKind.LOGIN,
    ("POST", "/user/refresh"): CallKind.REFRESH,
}


def connect_to(simulator: Simulator) -> Connect:
    """The `connect` argument of `run_app`: all connections lead to a simulator."""

    def connect(
        _limit: int, _context: ssl.SSLContext, _proxy: str | None
    ) -> httpx.AsyncBaseTransport:
        return _Connections(simulator)

    return connect


class _Connections(httpx.AsyncBaseTransport):
    """Passes each request to a simulator in a task, and cancels it when the client disconnects."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The head of the response. Errors have the types of the real connections."""
        exchange = _Exchange()
        answering = asyncio.create_task(_answer(self._simulator, request, exchange))
        answering.add_done_callback(exchange.end)
        try:
            status, headers = await exchange.head
        except BaseException:
            answering.cancel()
            raise
        return httpx.Response(status, headers=headers, stream=_BodyStream(exchange, answering))


class _Exchange:
    """Connects the simulator with a client: what has been sent of one response."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.head: asyncio.Future[tuple[int, Mapping[str, str]]] = loop.create_future()
        self.sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.left = 0  # bytes of the body that are not sent yet

    async def start(self, status: int, headers: Mapping[str, str], length: int) -> None:
        self.left = length
        if not self.head.done():  # the client may have disconnected
            self.head.set_result((status, headers))

    async def write(self, data: bytes) -> None:
        self.left -= len(data)
        self.sent.put_nowait(data)

    async def write_raw(self, data: bytes) -> None:
        """Without a head, fail like an invalid response. After one, the data is ignored."""
        if not self.head.done():
            self.head.set_exception(aiohttp.ClientPayloadError(data.decode("latin-1")))

    def close(self) -> None:
        self.sent.put_nowait(None)
        if not self.head.done():
            self.head.set_exception(aiohttp.ServerDisconnectedError)

    def end(self, answering: asyncio.Task[None]) -> None:
        """Close the connection when the task has ended. Raises exceptions of the simulator."""
        if not answering.cancelled():
            answering.result()
        self.close()


class _BodyStream(httpx.AsyncByteStream):
    """A body as it arrives."""

    def __init__(self, exchange: _Exchange, answering: asyncio.Task[None]) -> None:
        self._exchange = exchange
        self._answering = answering

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (data := await self._exchange.sent.get()) is not None:
            yield data
        if self._exchange.left:
            raise aiohttp.ClientPayloadError

    async def aclose(self) -> None:
        self._answering.cancel()


async def _answer(simulator: Simulator, request: httpx.Request, exchange: _Exchange) -> None:
    """Do what `exporter.simulator.server` does over HTTP."""
    await asyncio.sleep(LATENCY)
    path = request.url.raw_path.decode("ascii")
    simulator.note_request(request.method, path, request.headers)
    place, _, query = path.partition("?")
    kind, bucket = ROUTES.get((request.method, place)), ""
    match place.split("/"):
        case ["", "bucket", quoted, "stats"] if request.method == "POST":
            kind, bucket = CallKind.STATS, unquote(quoted)
    if kind is None:
        await exchange.start(404, {}, 0)
        return
    await simulator.answer(
        kind,
        exchange,
        headers=request.headers,
        body=request.read(),
        bucket=bucket,
        workspace=httpx.QueryParams(query).get("workspaceId", ""),
    )


def serve_on(path: Path) -> Callable[..., AbstractAsyncContextManager[tuple[ListenAddress, ...]]]:
    """The `serve` argument of `run_app`: serve on a Unix socket, whatever the addresses are."""

    @asynccontextmanager
    async def serve(
        app: web.Application, addresses: Sequence[ListenAddress], _tls: ssl.SSLContext | None
    ) -> AsyncIterator[tuple[ListenAddress, ...]]:
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.UnixSite(runner, str(path)).start()
            yield tuple(addresses)
        finally:
            await runner.cleanup()

    return serve
