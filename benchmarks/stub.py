"""The fastest API that Python makes easy: any POST gets the same answer, over kept connections.

Its process is not measured; it only must not be what the measured ones wait for.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import sample

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class _Answering(asyncio.Protocol):
    """Takes whatever ends in the one body that the contestants send for a whole request."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a TCP connection has another transport")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"}"):
            self._received = b""
            self._transport.write(self._answer)


def serve(pipe: Connection) -> None:
    """Serve on a free loopback port until `pipe` closes."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    body = sample.answer(0)
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nDate: Mon, 15 Jan 2024 12:00:00 GMT\r\n\r\n"
    )
    answering = partial(_Answering, head.encode() + body)
    server = await asyncio.get_running_loop().create_server(
        answering, "127.0.0.1", family=socket.AF_INET
    )
    pipe.send(server.sockets[0].getsockname()[1])
    await closing(pipe)


async def closing(pipe: Connection) -> None:
    """Return when the other end of `pipe` is gone."""
    closed = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), closed.set)
    await closed.wait()
