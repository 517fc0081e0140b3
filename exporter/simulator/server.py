"""Serves the simulated API over HTTP. The only module of the simulator that uses aiohttp.

It only passes requests to `api.Simulator`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.simulator.api import Simulator
from exporter.simulator.calls import CallKind

_SHUTDOWN_SECONDS = 0.1  # for open responses, before they are closed


@asynccontextmanager
async def serve(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve while the body runs, on a free port by default; yields the base URL.

    Open connections are closed when the body ends.
    """
    runner = web.AppRunner(
        _app(simulator),
        access_log=None,
        handler_cancellation=True,  # cancels a hanging handler when its client disconnects
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield site.name
    finally:
        await runner.cleanup()


def _app(simulator: Simulator) -> web.Application:
    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        simulator.note_request(request.method, request.raw_path, request.headers)
        try:
            return await handler(request)
        except ConnectionResetError:
            return web.Response()  # the client has disconnected

    def handler(kind: CallKind) -> Handler:
        return partial(_answer, simulator, kind)

    app = web.Application(middlewares=[note])
    app.add_routes(
        [
            web.post("/bucket/{bucketId:[^/]+}/stats", handler(CallKind.STATS)),
            web.get("/bucket", handler(CallKind.LIST), allow_head=False),
            web.post("/user/login", handler(CallKind.LOGIN)),
            web.post("/user/refresh", handler(CallKind.REFRESH)),
        ]
    )
    return app


async def _answer(simulator: Simulator, kind: CallKind, request: web.Request) -> web.StreamResponse:
    connection = _HttpConnection(request)
    await simulator.answer(
        kind,
        connection,
        headers=request.headers,
        body=await request.read(),
        bucket=request.match_info.get("bucketId", ""),
        workspace=request.query.get("workspaceId", ""),
    )
    return connection.response


class _HttpConnection:
    """Sends the response to a request."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response = web.StreamResponse()

    async def start(self, status: int, headers: Mapping[str, str], length: int) -> None:
        self.response.set_status(status)
        self.response.headers.update(headers)
        self.response.content_length = length
        await self.response.prepare(self._request)

    async def write(self, data: bytes) -> None:
        await self.response.write(data)

    async def write_raw(self, data: bytes) -> None:
        if self.response.prepared:
            await self.response.write_eof()  # flushes what aiohttp may still buffer
        if self._request.transport is not None:  # the client may have disconnected
            self._request.transport.write(data)

    def close(self) -> None:
        self._request.protocol.force_close()
