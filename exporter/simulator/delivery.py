"""How a response is sent: in full at once, slowly, in part, or not at all.

The only module besides `server` that uses aiohttp. What a response says is decided elsewhere.
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
    """A response that is to be sent."""

    request: web.Request
    response: SimulatedResponse
    now: float  # Unix time, on the server's clock
    sleep: Callable[[float], Awaitable[object]]
    on_handed_over: Callable[[], None]
    """Called just before the last byte is sent, so before any client has all of it."""

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Content-Type": self.response.content_type,
            "Date": formatdate(self.now, usegmt=True),
            **self.response.headers,
        }

    async def opened(self) -> web.StreamResponse:
        """Send the head, with the length of the whole body."""
        response = web.StreamResponse(status=self.response.status, headers=self.headers)
        response.content_length = len(self.response.body)
        await response.prepare(self.request)
        return response


Deliver: TypeAlias = Callable[[Delivery], Awaitable[web.StreamResponse]]


async def whole(delivery: Delivery) -> web.StreamResponse:
    delivery.on_handed_over()
    response = delivery.response
    return web.Response(status=response.status, body=response.body, headers=delivery.headers)


async def never(_delivery: Delivery) -> web.StreamResponse:
    """Send nothing: the connection stays open until the client or the server closes it."""
    nothing: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
    return await nothing


async def trickled(delivery: Delivery) -> web.StreamResponse:
    """Send all of it, in about 64 pieces with a second before each."""
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
    """Send half of it, then close the connection."""
    response = await delivery.opened()
    await response.write(delivery.response.body[: len(delivery.response.body) // 2])
    delivery.request.protocol.force_close()
    return response


async def dropped(delivery: Delivery) -> web.StreamResponse:
    """Send nothing and close the connection."""
    delivery.request.protocol.force_close()
    return web.Response()
