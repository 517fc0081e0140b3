"""A client that sends exactly the bytes that a test gives it, over a socket."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exporter.web.server import ListenAddress

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
DEADLINE = 10.0
"""Seconds after which a wait fails."""


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes, without waiting until they are sent."""
        self.writer.write(data)

    async def head(self) -> str:
        """The head of the next response."""
        async with asyncio.timeout(DEADLINE):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def rest(self) -> bytes:
        """All bytes until the server closes or resets the connection."""
        received = bytearray()
        async with asyncio.timeout(DEADLINE):
            try:
                while chunk := await self.reader.read(65536):
                    received += chunk
            except ConnectionError:
                pass
        return bytes(received)


@asynccontextmanager
async def raw(
    address: ListenAddress, context: ssl.SSLContext | None = None, limit: int = 65536
) -> AsyncIterator[Raw]:
    """Connect to an address; the connection is aborted when the `with` block ends."""
    reader, writer = await asyncio.open_connection(
        address.host, address.port, ssl=context, limit=limit
    )
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
