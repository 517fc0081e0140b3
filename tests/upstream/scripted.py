"""A server on real sockets whose responses a test scripts byte by byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx

from exporter.upstream.transport import Transport, connections


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP response as raw bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes, *headers: str) -> bytes:
    """A response whose body is sent in two chunks."""
    lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers]
    head = "\r\n".join([*lines, "", ""]).encode()
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:]))
    return head + parts + b"0\r\n\r\n"


def request(url: str, path: str = "", **extensions: object) -> httpx.Request:
    """A request as the exporter's client sends it."""
    headers = {"Accept-Encoding": "gzip"}
    return httpx.Request(
        "POST", f"{url}{path}", content=b"{}", headers=headers, extensions=extensions
    )


class Client:
    """One request as the scripted server received it, and the connection for the response."""

    def __init__(self, head: str, body: bytes, number: int, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.body = body
        self.path = head.split()[1]
        self.number = number  # the number of this request on its connection, from 1
        self.writer = writer

    def header(self, name: str) -> str:
        """The value of a request header."""
        found = [line for line in self.head.splitlines() if line.lower().startswith(f"{name}:")]
        return found[0].partition(":")[2].strip()

    async def send(self, *parts: bytes) -> None:
        """Send the parts one by one."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()


class Scripted:
    """A server that runs the script for each request and counts connections."""

    def __init__(self, script: Callable[[Client], object]) -> None:
        self.script = script
        self.url = ""
        self.connections = 0
        self.ended = asyncio.Condition()
        self.closed = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                body = await reader.readexactly(length)
                number += 1
                result = self.script(Client(head.decode(), body, number, writer))
                if asyncio.iscoroutine(result):
                    await result
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            async with self.ended:
                self.closed += 1
                self.ended.notify_all()

    async def all_closed(self, number: int) -> None:
        """Wait until this many connections have closed."""
        async with asyncio.timeout(20), self.ended:
            await self.ended.wait_for(lambda: self.closed >= number)


@asynccontextmanager
async def scripted(
    script: Callable[[Client], object], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    """Run the server on a free loopback port."""
    server = Scripted(script)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls) as listening:
        port = listening.sockets[0].getsockname()[1]
        server.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        yield server
        listening.close()
        await server.all_closed(server.connections)


@asynccontextmanager
async def client(context: ssl.SSLContext | None = None, limit: int = 4) -> AsyncIterator[Transport]:
    """A transport that uses the exporter's own connections."""
    transport = Transport(connections(limit, context or ssl.create_default_context()))
    try:
        async with asyncio.timeout(60):
            yield transport
    finally:
        await transport.aclose()


class Elsewhere:
    """A server in a thread, which can act while the test's event loop is blocked."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._told = threading.Event()
        self._done = threading.Event()
        self._act: Callable[[socket.socket], None] = lambda _: None
        self.connections = 0
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    def do_now(self, act: Callable[[socket.socket], None]) -> None:
        """Make the server do something to the connection, and wait until it is done."""
        self._act = act
        self._told.set()
        assert self._done.wait(20)

    def run(self) -> None:
        kept = []
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                break
            kept.append(connection)
            self.connections += 1
            received = b""
            while not received.endswith(b"{}"):
                received += connection.recv(65536)
            connection.sendall(http(b"own"))
            if self.connections == 1:
                self._told.wait(20)
                self._act(connection)
                self._done.set()
        for each in kept:
            each.close()


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """Run the server in a thread, on a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Elsewhere(listening)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        yield server
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(20)
