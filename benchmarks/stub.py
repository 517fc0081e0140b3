"""The fastest API that Python makes easy: all POSTs get one answer, all GETs a workspace's listing.

Its process is not measured; it only must not be what the measured ones wait for.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection

from benchmarks import sample


class _Answering(asyncio.Protocol):
    """Takes whatever ends in the one body that the contestants send for a whole request."""

    def __init__(self, answer: bytes, listings: Sequence[bytes]) -> None:
        self._answer = answer
        self._listings = listings
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
        elif self._received.startswith(b"GET ") and self._received.endswith(b"\r\n\r\n"):
            _, _, workspace = self._received.split(b" ", 2)[1].partition(b"workspaceId=")
            self._received = b""
            self._transport.write(self._listings[int(workspace or 0)])


def serve(pipe: Connection, *, listed: int = 0, workspaces: int = 1) -> None:
    """Serve on a free loopback port until `pipe` closes; so many buckets are in all listings.

    The workspaces are called 0, 1, 2 and so on, and have a share each.
    """
    asyncio.run(_serve(pipe, listed, workspaces))


async def _serve(pipe: Connection, listed: int, workspaces: int) -> None:
    parts = (range(number, listed, workspaces) for number in range(workspaces))
    listings = [_http(sample.listing(part)) for part in parts]
    answering = partial(_Answering, _http(sample.answer(0)), listings)
    server = await asyncio.get_running_loop().create_server(
        answering, "127.0.0.1", family=socket.AF_INET
    )
    pipe.send(server.sockets[0].getsockname()[1])
    await closing(pipe)


def _http(body: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nDate: Mon, 15 Jan 2024 12:00:00 GMT\r\n\r\n"
    )
    return head.encode() + body


async def closing(pipe: Connection) -> None:
    """Return when the other end of `pipe` is gone."""
    closed = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), closed.set)
    await closed.wait()
