"""Limits how many expensive requests are served at once, and how long each may take.

Over the limit, a request is rejected at once. A client that reads too slowly is disconnected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import hdrs, web


class ConcurrencyLimit:
    """Admits `limit` requests at a time (0: any number), each for at most `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._inside = 0

    def rejection(self) -> web.Response | None:
        """The response to another request if the limit is reached, else None."""
        if not 0 < self._limit <= self._inside:
            return None
        return web.Response(
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            text=f"Limit of concurrent requests reached ({self._limit}), try again later.\n",
            headers={hdrs.RETRY_AFTER: "1"},
        )

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """Count a request while the body runs; raises ConnectionAbortedError after `seconds`."""
        self._inside += 1
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError as error:
            raise ConnectionAbortedError("the response was not read in time") from error
        finally:
            self._inside -= 1


async def send(request: web.Request, response: web.StreamResponse, body: Iterator[bytes]) -> None:
    """Send a body as it is rendered, compressed if the client accepts that."""
    response.enable_compression()
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return
    for piece in body:
        await response.write(piece)
        await asyncio.sleep(0)  # lets other tasks run: a write only waits if the client is slow
