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

from exporter.simulator.calls import SimulatedResponse

TRICKLE_PIECES = 64
TRICKLE_PAUSE = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Delivery:
    """An answer on its way to the one who asked."""

    request: web.Request
    response: SimulatedResponse
    now: float  # Unix time, on the server's clock
    sleep: Callable[[float], Awaitable[object]]
    on_handed_over: Callable[[], None]
    """To be called just before the last byte leaves: no client has all of it any earlier."""

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers, dated by the server's clock."""
        return {
            "Content-Type": self.response.content_type,
            "Date": formatdate(self.now, usegmt=True),
            **self.response.headers,
        }

    async def opened(self) -> web.StreamResponse:
        """A response whose head has been sent and promises the whole body."""
        response = web.StreamResponse(status=self.response.status, headers=self.headers)
        response.content_length = len(self.response.body)
        await response.prepare(self.request)
        return response


Deliver: TypeAlias = Callable[[Delivery], Awaitable[web.StreamResponse]]


async def whole(delivery: Delivery) -> web.StreamResponse:
    """At once, as it should be."""
    delivery.on_handed_over()
    response = delivery.response
    return web.Response(status=response.status, body=response.body, headers=delivery.headers)


async def never(_delivery: Delivery) -> web.StreamResponse:
    """Not at all: the connection stays open until the client or the server goes."""
    nothing: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
    return await nothing


async def trickled(delivery: Delivery) -> web.StreamResponse:
    """Whole, but in about 64 pieces with a second before each."""
    response = await delivery.opened()
    body = delivery.response.body
    step = len(body) // TRICKLE_PIECES + 1
    for start in range(0, len(body) or 1, step):
        await delivery.sleep(TRICKLE_PAUSE)
        if start + step >= len(body):
            delivery.on_handed_over()
        await response.write(body[start : start + step])
    return response


async def truncated(delivery: Delivery) -> web.StreamResponse:
    """Half of it, then the connection closes."""
    response = await delivery.opened()
    await response.write(delivery.response.body[: len(delivery.response.body) // 2])
    delivery.request.protocol.force_close()
    return response


async def dropped(delivery: Delivery) -> web.StreamResponse:
    """Nothing: the connection closes without a word."""
    delivery.request.protocol.force_close()
    return web.Response()
