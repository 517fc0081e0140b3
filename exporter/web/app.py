"""The routes and what they answer, as an aiohttp application.

It serves what it is handed (`Endpoints`) and knows nothing of polling, buckets or the API.
"""

from __future__ import annotations

import asyncio
import html
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from exporter.web.connection import COMMON_HEADERS
from exporter.web.negotiation import wants_gzip, wants_openmetrics
from exporter.web.pages import add_pages
from exporter.web.status_api import add_status_api
from exporter.web.turnstile import Turnstile

try:
    from isal.isal_zlib import compressobj  # a fifth of the CPU, and smaller
except ImportError:  # pragma: no cover - where there is no wheel of it
    from zlib import compressobj  # type: ignore[assignment] # alike as far as used here

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from typing import TypeAlias

    from exporter.status.board import Board

    _Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
GZIP_LEVEL = 1
BODY_CHUNK = 64 * 1024
"""Bytes that are worth sending on their own."""

HELD_BYTES = 2 * 2**20
"""A page of at most about so many bytes is made before it is sent, a larger one while it is.

Compressed a sixteenth of it: what takes long to make must not delay the first byte.
"""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What is served, and where."""

    telemetry_path: str
    max_requests: int  # scrapes at the same time; 0: no limit
    exposition: Callable[[bool], Iterator[bytes]]  # of whether it is OpenMetrics
    is_healthy: Callable[[], bool]
    is_ready: Callable[[], bool]
    version: str
    reload: Callable[[], Awaitable[str | None]] | None = None  # None: not allowed
    board: Board | None = None  # what pages and JSON say; None: there is a page of links alone
    answer_seconds: float = 60.0  # how long a client may take to read a page


def make_app(endpoints: Endpoints) -> web.Application:
    """The application that serves `endpoints`; anything else is 404, a wrong method 405."""
    app = web.Application()
    app.router.add_get(endpoints.telemetry_path, _Scrapes(endpoints).answer)
    app.router.add_get("/-/healthy", _probe(endpoints.is_healthy, "healthy"))
    app.router.add_get("/-/ready", _probe(endpoints.is_ready, "ready"))
    for method in (hdrs.METH_POST, hdrs.METH_PUT):
        app.router.add_route(method, "/-/reload", _reload(endpoints))
    _add_front(app, endpoints)
    app.on_response_prepare.append(_set_common_headers)
    return app


def _add_front(app: web.Application, endpoints: Endpoints) -> None:
    """What people open, and the same as JSON; no pages where the telemetry path is theirs."""
    has_pages, board = endpoints.telemetry_path != "/", endpoints.board
    if board is None:
        if has_pages:
            app.router.add_get("/", _front_page(endpoints))
        return
    turnstile = Turnstile(endpoints.max_requests, endpoints.answer_seconds)
    add_status_api(app, board, turnstile)
    if has_pages:
        add_pages(app, board, turnstile, telemetry_path=endpoints.telemetry_path)


class _Scrapes:
    """The telemetry path."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._running = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        limit = self._endpoints.max_requests
        if limit and self._running >= limit:
            text = f"Limit of concurrent requests reached ({limit}), try again later.\n"
            return web.Response(status=503, text=text)
        self._running += 1
        try:
            async with asyncio.timeout(self._endpoints.answer_seconds):
                return await self._exposition(request)
        except TimeoutError as error:
            # Who reads this slowly would keep others from their pages.
            raise ConnectionAbortedError("the page was not read in time") from error
        finally:
            self._running -= 1

    async def _exposition(self, request: web.Request) -> web.StreamResponse:
        openmetrics = wants_openmetrics(",".join(request.headers.getall(hdrs.ACCEPT, ())))
        gzip = wants_gzip(",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ())))
        headers = {
            hdrs.CONTENT_TYPE: OPENMETRICS_TYPE if openmetrics else TEXT_TYPE,
            hdrs.VARY: "Accept, Accept-Encoding",
        }
        if gzip:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        response = web.StreamResponse(headers=headers)
        if request.method == hdrs.METH_HEAD:
            await response.prepare(request)
            return response
        chunks = self._endpoints.exposition(openmetrics)
        pieces = _gathered(gzipped(chunks) if gzip else chunks)
        await _send(request, response, pieces, HELD_BYTES // 16 if gzip else HELD_BYTES)
        return response


async def _send(
    request: web.Request, response: web.StreamResponse, pieces: Iterator[bytes], hold: int
) -> None:
    """Send pieces as they are made; between them, others get their turn."""
    held = [piece async for piece in _first(pieces, hold)]
    rest = next(pieces, None)
    if rest is None:
        # With a length aiohttp sends each piece as it is; without, it copies it into a frame.
        response.content_length = sum(map(len, held))
    await response.prepare(request)
    for piece in held:
        await response.write(piece)
    while rest is not None:
        await response.write(rest)
        await asyncio.sleep(0)  # a write alone does not wait while the client keeps up
        rest = next(pieces, None)


async def _first(pieces: Iterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Pieces until there are none, or enough."""
    while size > 0 and (piece := next(pieces, None)) is not None:
        size -= len(piece)
        yield piece
        await asyncio.sleep(0)


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks as one gzip stream, made while it is read."""
    compressor = compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def _gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks that are not tiny."""
    gathered: list[bytes] = []
    size = 0
    for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= BODY_CHUNK:
            yield b"".join(gathered)
            gathered, size = [], 0
    if size:
        yield b"".join(gathered)


def _probe(holds: Callable[[], bool], word: str) -> _Handler:
    async def answer(_request: web.Request) -> web.Response:
        if holds():
            return web.Response(text=f"flashback-exporter is {word}.\n")
        return web.Response(status=503, text=f"flashback-exporter is not {word}.\n")

    return answer


def _reload(endpoints: Endpoints) -> _Handler:
    async def answer(_request: web.Request) -> web.Response:
        if endpoints.reload is None:
            text = "Reloading by request is not enabled: start with --web.enable-lifecycle.\n"
            return web.Response(status=403, text=text)
        problems = await endpoints.reload()
        if problems is not None:
            text = f"The old configuration runs on:\n{problems}\n"
            return web.Response(status=500, text=text)
        return web.Response(text="The configuration is reloaded.\n")

    return answer


def _front_page(endpoints: Endpoints) -> _Handler:
    links = (
        (endpoints.telemetry_path, "Metrics"),
        ("/-/healthy", "Healthy"),
        ("/-/ready", "Ready"),
    )
    items = "".join(
        f'<li><a href="{html.escape(path)}">{html.escape(text)}</a></li>' for path, text in links
    )
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        "<title>Flashback Exporter</title></head><body><h1>Flashback Exporter</h1>"
        "<p>Node statistics of Flashback storage buckets for Prometheus.</p>"
        f"<p>Version: {html.escape(endpoints.version)}</p><ul>{items}</ul></body></html>\n"
    )

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    return answer


async def _set_common_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(COMMON_HEADERS)
