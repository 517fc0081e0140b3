"""Serves the telemetry path: negotiates format and compression, and sends the page.

The page is an iterator of bytes that is read while it is sent, so the event loop is not blocked.
Negotiation is like that of Prometheus's own servers (RFC 9110, section 12.5). A header that is
missing or invalid, or asks for something unsupported, gets the plain text format, never an error.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import lru_cache

from aiohttp import hdrs, web

from exporter.web.limits import ConcurrencyLimit

try:
    from isal.isal_zlib import compressobj  # a fifth of zlib's CPU time, and a smaller result
except ImportError:  # pragma: no cover - on platforms without a wheel
    from zlib import compressobj  # type: ignore[assignment] # compatible as far as used here

OPENMETRICS = "application/openmetrics-text"
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"
GZIP_LEVEL = 1
BODY_CHUNK = 64 * 1024
"""Bytes from which a chunk is worth a write of its own."""

BUFFER_BYTES = 256 * 1024
"""Pages up to about this size are rendered before they are sent, larger ones while they are sent.

So the first byte of a large page comes soon. For compressed pages the limit is a sixteenth of this.
"""


class MetricsHandler:
    """Serves what `exposition` renders. Its argument says whether that is OpenMetrics."""

    def __init__(
        self, exposition: Callable[[bool], Iterator[bytes]], limit: ConcurrencyLimit
    ) -> None:
        self._exposition = exposition
        self._limit = limit

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The page in the format that the client prefers."""
        if (refusal := self._limit.rejection()) is not None:
            return refusal
        async with self._limit.acquire():
            return await self._page(request)

    async def _page(self, request: web.Request) -> web.StreamResponse:
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
        # Joined before compression, not after it: to collect 64 KiB of compressed output, a large
        # part of the page would be compressed at once.
        chunks = _gathered(self._exposition(openmetrics))
        pieces = gzipped(chunks) if gzip else chunks
        await _send(request, response, pieces, BUFFER_BYTES // 16 if gzip else BUFFER_BYTES)
        return response


async def _send(
    request: web.Request, response: web.StreamResponse, pieces: Iterator[bytes], buffer_bytes: int
) -> None:
    """Send pieces as they are rendered, and let other tasks run between them."""
    buffered = [piece async for piece in _first(pieces, buffer_bytes)]
    rest = next(pieces, None)
    if rest is None:
        # With a Content-Length, aiohttp sends a piece as it is. Without, it copies it into a chunk.
        response.content_length = sum(map(len, buffered))
    await response.prepare(request)
    for piece in buffered:
        await response.write(piece)
    while rest is not None:
        await response.write(rest)
        await asyncio.sleep(0)  # lets other tasks run: a write only waits if the client is slow
        rest = next(pieces, None)


async def _first(pieces: Iterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Pieces up to a total size, or all of them."""
    while size > 0 and (piece := next(pieces, None)) is not None:
        size -= len(piece)
        yield piece
        await asyncio.sleep(0)


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Compress the chunks to one gzip stream, as it is read."""
    compressor = compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def _gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Join small chunks to larger ones."""
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


@lru_cache(maxsize=64)
def wants_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics 1.0 is accepted, with at least the quality of the text format."""
    openmetrics = text = 0.0
    for media_type, parameters, quality in _preferences(accept):
        if media_type == OPENMETRICS and parameters.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, quality)
        elif media_type == "text/plain":
            text = max(text, quality)
    return openmetrics > 0 and openmetrics >= text


@lru_cache(maxsize=64)
def wants_gzip(accept_encoding: str) -> bool:
    """Whether gzip is accepted, with at least the quality of identity."""
    qualities = {coding: quality for coding, _, quality in _preferences(accept_encoding)}
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _preferences(header: str) -> list[tuple[str, dict[str, str], float]]:
    """Parse an Accept-like header: names, parameters, and qualities from 0 to 1."""
    preferences = []
    for item in header.split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip(' "') for key, _, value in pairs}
        preferences.append((name.lower(), parameters, _quality(parameters.pop("q", "1"))))
    return preferences


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
