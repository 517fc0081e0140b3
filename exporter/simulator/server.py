"""The fake API over HTTP, on aiohttp's server.

Requests become calls of `api.FakeApi`, and its responses are delivered; nothing is decided here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.simulator.api import FakeApi
from exporter.simulator.calls import CallKind, body_to_fields
from exporter.simulator.delivery import Delivery
from exporter.simulator.recorder import Asked

_SHUTDOWN_SECONDS = 0.1  # for open responses, before they are cut off


class Simulator(FakeApi):
    """The fake API, ready to be served."""

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._watch])
        app.add_routes(
            [
                web.post("/bucket/{bucketId:[^/]+}/stats", partial(self._handle, CallKind.STATS)),
                web.get("/bucket", partial(self._handle, CallKind.LIST), allow_head=False),
                web.post("/user/login", partial(self._handle, CallKind.LOGIN)),
                web.post("/user/refresh", partial(self._handle, CallKind.REFRESH)),
            ]
        )
        return app

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        asked = Asked(
            self.now(),
            request.method,
            request.raw_path,
            headers.get("Authorization"),
            headers.get("User-Agent"),
        )
        self.record.asked.append(asked)
        try:
            return await handler(request)
        except ConnectionResetError:
            return web.Response()  # the client has gone, nobody reads it

    async def _handle(self, kind: CallKind, request: web.Request) -> web.StreamResponse:
        call = self.receive(
            kind,
            bucket=request.match_info.get("bucketId", ""),
            token=_token(request),
            workspace=request.query.get("workspaceId", ""),
            fields=await _fields(request),
        )
        with self.record.under_way(kind):
            if delay := self.delay(kind):
                await self.sleep(delay)
            reply = self.respond(call)
            note = partial(self.handed_over, call, reply.response)
            delivery = Delivery(request, reply.response, reply.now, self.sleep, note)
            return await reply.deliver(delivery)


@asynccontextmanager
async def serve(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve while the body runs, on a free port if none is given; yields the base URL.

    Connections that are still open are closed when the body ends.
    """
    runner = web.AppRunner(
        simulator.app(),
        access_log=None,
        handler_cancellation=True,  # a handler that hangs ends when its client disconnects
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield site.name
    finally:
        await runner.cleanup()


def _token(request: web.Request) -> str:
    """The bearer token of a request; empty without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


async def _fields(request: web.Request) -> dict[str, Any]:
    """The fields of a JSON body; like Express, the API ignores other content types."""
    body = await request.read()
    return body_to_fields(body) if request.content_type == "application/json" else {}
