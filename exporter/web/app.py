"""The routes and their handlers, as an aiohttp application.

It serves what `Endpoints` contains, and knows nothing of polling, buckets or the API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import hdrs, web

from exporter.web.limits import ConcurrencyLimit
from exporter.web.metrics_handler import MetricsHandler
from exporter.web.server import COMMON_HEADERS

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the application serves."""

    telemetry_path: str
    max_requests: int  # concurrent scrapes; 0: no limit
    exposition: Callable[[bool], Iterator[bytes]]  # argument: whether to render OpenMetrics
    is_healthy: Callable[[], bool]
    is_ready: Callable[[], bool]
    reload: Callable[[], Awaitable[str | None]] | None = None  # None: reloading is not allowed
    add_routes: Callable[[web.Application, ConcurrencyLimit, str], None] | None = None
    """Adds more routes to the application; gets a separate limit and the telemetry path."""
    send_timeout: float = 60.0  # for sending a page to a slow client


def make_app(endpoints: Endpoints) -> web.Application:
    """The application that serves `endpoints`. Other paths return 404, wrong methods 405."""
    app = web.Application()
    limit = ConcurrencyLimit(endpoints.max_requests, endpoints.send_timeout)
    scrapes = MetricsHandler(endpoints.exposition, limit)
    app.router.add_get(endpoints.telemetry_path, scrapes.answer)
    app.router.add_get("/-/healthy", _probe(endpoints.is_healthy, "healthy"))
    app.router.add_get("/-/ready", _probe(endpoints.is_ready, "ready"))
    for method in (hdrs.METH_POST, hdrs.METH_PUT):
        app.router.add_route(method, "/-/reload", _reload(endpoints))
    if endpoints.add_routes is not None:
        beside = ConcurrencyLimit(endpoints.max_requests, endpoints.send_timeout)
        endpoints.add_routes(app, beside, endpoints.telemetry_path)
    app.on_response_prepare.append(_set_common_headers)
    return app


def _probe(holds: Callable[[], bool], word: str) -> _Handler:
    async def answer(_request: web.Request) -> web.Response:
        if holds():
            return web.Response(text=f"flashback-exporter is {word}.\n")
        return web.Response(status=503, text=f"flashback-exporter is not {word}.\n")

    return answer


def _reload(endpoints: Endpoints) -> _Handler:
    async def answer(_request: web.Request) -> web.Response:
        if endpoints.reload is None:
            text = "Reload over HTTP is disabled: start the exporter with --web.enable-lifecycle.\n"
            return web.Response(status=403, text=text)
        problems = await endpoints.reload()
        if problems is not None:
            text = (
                f"The configuration was not reloaded, the previous one stays active:\n{problems}\n"
            )
            return web.Response(status=500, text=text)
        return web.Response(text="Configuration reloaded.\n")

    return answer


async def _set_common_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(COMMON_HEADERS)
