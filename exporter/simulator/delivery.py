"""How an answer travels: whole, or in one of the ways in which it does not arrive.

The only module besides `server` that knows HTTP's objects. What an answer says is not decided
here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import TypeAlias

from aiohttp import web

from exporter.simulator.calls import Answer

TRICKLE_PIECES = 64
TRICKLE_PAUSE = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Parcel:
    """An answer on its way to the one who asked."""

    request: web.Request
    answer: Answer
    now: float  # Unix time, on the server's clock
    sleep: Callable[[float], Awaitable[object]]
    on_handed_over: Callable[[], None]
    """To be called just before the last byte leaves: no client has all of it any earlier."""

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers, dated by the server's clock."""
        return {
            "Content-Type": self.answer.content_type,
            "Date": formatdate(self.now, usegmt=True),
            **self.answer.headers,
        }

    async def opened(self) -> web.StreamResponse:
        """A response whose head has been sent and promises the whole body."""
        response = web.StreamResponse(status=self.answer.status, headers=self.headers)
        response.content_length = len(self.answer.body)
        await response.prepare(self.request)
        return response


Deliver: TypeAlias = Callable[[Parcel], Awaitable[web.StreamResponse]]


async def whole(parcel: Parcel) -> web.StreamResponse:
    """At once, as it should be."""
    parcel.on_handed_over()
    answer = parcel.answer
    return web.Response(status=answer.status, body=answer.body, headers=parcel.headers)


async def never(_parcel: Parcel) -> web.StreamResponse:
    """Not at all: the connection stays open until the client or the server goes."""
    nothing: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
    return await nothing


async def trickled(parcel: Parcel) -> web.StreamResponse:
    """Whole, but in about 64 pieces with a second before each."""
    response = await parcel.opened()
    body = parcel.answer.body
    step = len(body) // TRICKLE_PIECES + 1
    for start in range(0, len(body) or 1, step):
        await parcel.sleep(TRICKLE_PAUSE)
        if start + step >= len(body):
            parcel.on_handed_over()
        await response.write(body[start : start + step])
    return response


async def truncated(parcel: Parcel) -> web.StreamResponse:
    """Half of it, then the connection closes."""
    response = await parcel.opened()
    await response.write(parcel.answer.body[: len(parcel.answer.body) // 2])
    parcel.request.protocol.force_close()
    return response


async def dropped(parcel: Parcel) -> web.StreamResponse:
    """Nothing: the connection closes without a word."""
    parcel.request.protocol.force_close()
    return web.Response()
