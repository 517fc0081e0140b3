"""Messages for errors of the HTTP libraries: fixed sentences without received data."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

import aiohttp
import httpx
import pytest
import trustme
from aiohttp import http_exceptions

from exporter.model import ApiError, Reason
from exporter.upstream.connections import Resolver
from exporter.upstream.library_errors import as_api_error
from exporter.upstream.transport import RequestFailed, Transport, connections
from tests.upstream import scripted
from tests.upstream.scripted import chunked, http, request

SECRET = "Xyz9q-received"


async def said(url: str, *, proxy: str | None = None, resolver: Resolver | None = None) -> ApiError:
    """The error of a failed request."""
    transport = Transport(connections(4, ssl.create_default_context(), proxy, resolver))
    try:
        async with asyncio.timeout(20):
            with pytest.raises(RequestFailed) as caught:
                await transport.send(request(url), 1000)
    finally:
        await transport.aclose()
    return caught.value.api_error


def free_port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
        return port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_refused_connection(host: str) -> None:
    """A refused connection is reported with host, port and the system's error."""
    port = free_port()
    message = f"no connection to {host}:{port}: Connection refused"
    assert await said(f"http://{host}:{port}") == ApiError(Reason.CONNECT, message)


async def test_name_that_does_not_resolve() -> None:
    """A DNS failure is reported with the host and the resolver's error."""

    def unknown(*_arguments: object, **_settings: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert await said("http://api.example", resolver=Resolver(unknown)) == ApiError(
        Reason.CONNECT, "the name api.example could not be resolved: Name or service not known"
    )


async def test_certificate_that_is_not_trusted() -> None:
    """An untrusted certificate is reported with OpenSSL's reason, without names from it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA(organization_name=SECRET).issue_cert(f"{SECRET}.example").configure_cert(server)
    async with scripted.scripted(lambda _: None, server) as listening:
        fault = await said(listening.url)
    assert fault.reason is Reason.TLS
    assert fault.message.startswith("the server's certificate is not trusted: ")
    assert "certificate" in fault.message.partition(": ")[2]
    assert SECRET not in fault.message


async def test_server_that_speaks_no_tls() -> None:
    """What a server without TLS sends does not appear in the error."""

    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SECRET.encode() * 100)
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        fault = await said(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert fault.reason in {Reason.TLS, Reason.CONNECT}  # it may reset before the data is read
    assert SECRET not in fault.message


async def test_proxy_that_refuses() -> None:
    """If the proxy refuses CONNECT, the error has its status, not its reason phrase or headers."""

    async def refuse(asked: scripted.Client) -> None:
        await asked.send(http(SECRET.encode(), f"X: {SECRET}", status=f"407 {SECRET}"))

    async with scripted.scripted(refuse) as proxy:
        fault = await said("https://api.example", proxy=proxy.url)
    message = "the proxy refused to connect to the API: HTTP 407"
    assert fault == ApiError(Reason.CONNECT, message)


async def test_proxy_that_is_not_there() -> None:
    """If the proxy cannot be reached, the error names the proxy, not the API."""
    port = free_port()
    fault = await said("https://api.example", proxy=f"http://user:{SECRET}@127.0.0.1:{port}")
    message = f"no connection to the proxy 127.0.0.1:{port}: Connection refused"
    assert fault == ApiError(Reason.CONNECT, message)


async def test_answers_that_do_not_come() -> None:
    """If the connection closes early, the error says at which point."""

    def sends(sent: bytes) -> Callable[[scripted.Client], object]:
        async def script(asked: scripted.Client) -> None:
            await asked.send(sent)
            raise ConnectionResetError

        return script

    for sent, message in (
        (b"", "the server closed the connection before it responded"),
        (http(b"whole")[:-1], "the connection closed before the full Content-Length was received"),
        (
            chunked(b"whole answer")[:-1],
            "the connection closed before the full response was received",
        ),
    ):
        async with scripted.scripted(sends(sent)) as server:
            assert await said(server.url) == ApiError(Reason.CONNECT, message)


def caused(error: Exception, *causes: Exception) -> Exception:
    """An error with a chain of causes."""
    for effect, cause in zip((error, *causes), causes, strict=False):
        effect.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (
            aiohttp.ClientOSError(errno.ECONNRESET, SECRET),
            ApiError(Reason.CONNECT, "the connection failed: Connection reset by peer"),
        ),
        (
            caused(httpx.ConnectError(SECRET), OSError(errno.EMFILE, SECRET)),
            ApiError(
                Reason.INTERNAL,
                "this machine could not open a connection: Too many open files",
            ),
        ),
        (
            caused(aiohttp.ClientOSError(1, SECRET), ssl.SSLError(1, SECRET)),
            ApiError(Reason.TLS, "the TLS connection failed"),
        ),
        (
            http_exceptions.BadStatusLine(SECRET),
            ApiError(
                Reason.MALFORMED,
                "the response is not valid HTTP: its headers, length or chunks are malformed",
            ),
        ),
        (
            aiohttp.SocketTimeoutError(SECRET),
            ApiError(Reason.TIMEOUT, "no response in time"),
        ),
        (
            aiohttp.ClientConnectionError(SECRET),
            ApiError(Reason.CONNECT, "the connection failed (ClientConnectionError)"),
        ),
        (
            httpx.ReadError(SECRET),
            ApiError(Reason.CONNECT, "the connection failed (ReadError)"),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_kind_has_its_sentence(error: Exception, fault: ApiError) -> None:
    """Each kind of library error maps to a fixed message; the error's own text is not used."""
    assert as_api_error(error) == fault
