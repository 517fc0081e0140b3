"""How many clients are served something costly at once, and for how long each.

Over the limit one is turned away at once; who reads too slowly is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import hdrs, web


class ConcurrencyLimit:
    """Lets so many in at a time (0: all), each for so many seconds."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._inside = 0

    def rejection(self) -> web.Response | None:
        """What the next one is told if there is no slot."""
        if not 0 < self._limit <= self._inside:
            return None
        return web.Response(
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            text=f"Limit of concurrent requests reached ({self._limit}), try again later.\n",
            headers={hdrs.RETRY_AFTER: "1"},
        )

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """A slot for as long as the body runs; raises ConnectionAbortedError when time is up."""
        self._inside += 1
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError as error:
            raise ConnectionAbortedError("the answer was not read in time") from error
        finally:
            self._inside -= 1


async def send(request: web.Request, response: web.StreamResponse, body: Iterator[bytes]) -> None:
    """Send a body piece by piece as it is made, compressed where the client likes that."""
    response.enable_compression()
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return
    for piece in body:
        await response.write(piece)
        await asyncio.sleep(0)  # a write alone does not wait while the client keeps up
