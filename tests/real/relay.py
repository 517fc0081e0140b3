"""A relay between a database and the exporter, which records requests, responses and times.

It passes all bytes on, connection by connection, so that the database talks to the exporter itself.
Only the header Accept can be changed.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import re
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from email.message import Message
from http.client import parse_headers

_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its response."""

    at: float  # Unix time
    connection: int  # counted from 0
    asked: Message  # the headers that the exporter received
    status: int
    answered: Message
    body: bytes  # as sent, possibly compressed

    @property
    def text(self) -> str:
        """The decompressed body."""
        zipped = self.answered["Content-Encoding"] == "gzip"
        return (gzip.decompress(self.body) if zipped else self.body).decode()


class Relay:
    """Passes requests on to the exporter. Before `plug` is called, it closes all connections."""

    def __init__(self, accept: str | None) -> None:
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self._accept = accept
        self._exporter: tuple[str, str] | None = None
        self._writers: list[StreamWriter] = []
        self._handlers: list[asyncio.Task[None] | None] = []

    def plug(self, address: str) -> None:
        """Pass requests on to the exporter at `host:port`."""
        host, _, port = address.rpartition(":")
        self._exporter = (host, port)

    async def handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Handle one connection until either side closes it."""
        connection, self.connections = self.connections, self.connections + 1
        self._writers.append(writer)
        self._handlers.append(asyncio.current_task())
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            if self._exporter is not None:
                source, sink = await asyncio.open_connection(*self._exporter)
                with closing(sink):
                    while True:
                        asked = await self._request(reader, sink)
                        exchange = await _response(source, writer, asked, connection)
                        self.exchanges.append(exchange)

    async def end(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*filter(None, self._handlers))

    async def _request(self, reader: StreamReader, sink: StreamWriter) -> bytes:
        head = await reader.readuntil(_END_OF_HEAD)
        if self._accept is not None:
            head = re.sub(rb"(?<=\r\nAccept: )[^\r]*", self._accept.encode(), head)
        sink.write(head)
        await sink.drain()
        return head


@asynccontextmanager
async def relaying(accept: str | None = None) -> AsyncIterator[tuple[Relay, str]]:
    """Run a relay; yields it and its address. `accept` replaces the header Accept."""
    relay = Relay(accept)
    async with await asyncio.start_server(relay.handle, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        try:
            yield relay, f"{host}:{port}"
        finally:
            server.close()
            await relay.end()


async def _response(
    source: StreamReader, writer: StreamWriter, asked: bytes, connection: int
) -> Exchange:
    at = time.time()
    head = await source.readuntil(_END_OF_HEAD)
    answered = _headers(head)
    raw, body = await (_chunks if "Transfer-Encoding" in answered else _plain)(source, answered)
    writer.write(head + raw)
    await writer.drain()
    return Exchange(at, connection, _headers(asked), int(head.split()[1]), answered, body)


def _headers(head: bytes) -> Message:
    return parse_headers(io.BytesIO(head.partition(b"\r\n")[2]))


async def _plain(source: StreamReader, answered: Message) -> tuple[bytes, bytes]:
    body = await source.readexactly(int(answered["Content-Length"]))
    return body, body


async def _chunks(source: StreamReader, _answered: Message) -> tuple[bytes, bytes]:
    raw = body = chunk = b""
    while chunk != b"\r\n":  # the last chunk is empty
        size = await source.readuntil(b"\n")
        chunk = await source.readexactly(int(size, 16) + 2)
        raw += size + chunk
        body += chunk[:-2]
    return raw, body
