"""Ways to send a response: at once, slowly, in part, or not at all.

The content of the response is decided elsewhere. A `ResponseWriter` sends it: `server` has one for
sockets, tests provide their own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Protocol, TypeAlias

from exporter.simulator.calls import SimulatedResponse

TRICKLE_PIECES = 64
TRICKLE_PAUSE = 1.0  # seconds


class ResponseWriter(Protocol):
    """Sends one response."""

    async def start(self, status: int, headers: Mapping[str, str], length: int) -> None:
        """Send the head with the length of the whole body."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def write_raw(self, data: bytes) -> None:
        """Send raw bytes outside of the response, which may violate HTTP."""
        ...

    def close(self) -> None:
        """Close the connection, whatever has been sent."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """A response to send."""

    connection: ResponseWriter
    response: SimulatedResponse
    now: float  # Unix time, on the server's clock
    sleep: Callable[[float], Awaitable[object]]
    on_handed_over: Callable[[], None]
    """Called just before the last byte is sent, so before a client can have the whole response."""

    async def start(self) -> None:
        headers = {
            "Content-Type": self.response.content_type,
            "Date": formatdate(self.now, usegmt=True),
            **self.response.headers,
        }
        await self.connection.start(self.response.status, headers, len(self.response.body))


Deliver: TypeAlias = Callable[[Delivery], Awaitable[None]]


async def whole(delivery: Delivery) -> None:
    delivery.on_handed_over()
    await delivery.start()
    await delivery.connection.write(delivery.response.body)


async def never(_delivery: Delivery) -> None:
    """Send nothing: the connection stays open until the client or the server closes it."""
    await asyncio.get_running_loop().create_future()


async def trickled(delivery: Delivery) -> None:
    """Send the body in about 64 pieces, with a pause of a second before each."""
    await delivery.start()
    body = delivery.response.body
    step = len(body) // TRICKLE_PIECES + 1
    for start in range(0, len(body) or 1, step):
        await delivery.sleep(TRICKLE_PAUSE)
        if start + step >= len(body):
            delivery.on_handed_over()
        await delivery.connection.write(body[start : start + step])


async def truncated(delivery: Delivery) -> None:
    """Send half of the body, then close the connection."""
    await delivery.start()
    body = delivery.response.body
    await delivery.connection.write(body[: len(body) // 2])
    delivery.connection.close()


async def dropped(delivery: Delivery) -> None:
    """Close the connection without sending anything."""
    delivery.connection.close()


async def without_status_line(delivery: Delivery) -> None:
    """Send the body without a status line, and close the connection."""
    await delivery.connection.write_raw(delivery.response.body)
    delivery.connection.close()


async def with_surplus(delivery: Delivery) -> None:
    """Send the response, and then another one without a request."""
    await whole(delivery)
    body = delivery.response.body
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    await delivery.connection.write_raw(head.encode() + b"\r\n\r\n" + body)
