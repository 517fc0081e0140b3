"""The expiry of the API's certificate, over real TLS connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest
import trustme
from cryptography import x509

from exporter.upstream.server_info import ResponseHead, ServerInfo, certificate_expiry
from exporter.upstream.transport import Transport, connections
from tests.harness.fakes import FakeClock
from tests.upstream.scripted import Client, http, request, scripted
from tests.upstream.test_account import ACCOUNT, access_to

ROOT = trustme.CA()
BETWEEN = ROOT.create_child_ca()
SOON, LATE = datetime(2030, 6, 1, 12, 30, tzinfo=UTC), datetime(3500, 1, 1, tzinfo=UTC)
ENDED = datetime(2021, 1, 1, tzinfo=UTC)
OF_CA = x509.load_pem_x509_certificate(BETWEEN.cert_pem.bytes()).not_valid_after_utc
"""trustme's CAs expire in the year 3000."""


def server(end: datetime, authority: trustme.CA = ROOT) -> ssl.SSLContext:
    """A server whose certificate expires at `end`; it sends the chain without the root."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = authority.issue_cert("127.0.0.1", not_before=begin, not_after=end)
    certificate.configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    ROOT.configure_trust(context)
    return context


def careless() -> ssl.SSLContext:
    """The TLS context that insecure_skip_verify creates."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@asynccontextmanager
async def client(context: ssl.SSLContext, proxy: str | None = None) -> AsyncIterator[Transport]:
    """The exporter's own connections, optionally through a proxy."""
    transport = Transport(connections(4, context, proxy))
    try:
        async with asyncio.timeout(60):
            yield transport
    finally:
        await transport.aclose()


async def shown(transport: Transport, url: str) -> float | None:
    """The certificate expiry that a response reports."""
    heads: list[ResponseHead] = []
    await transport.send(request(url, "/"), 1000, heads.append)
    (head,) = heads
    return head.certificate_expiry


async def answer(asked: Client) -> None:
    await asked.send(http(b"{}"))


async def answer_and_close(asked: Client) -> None:
    await asked.send(http(b"{}", "Connection: close"))
    asked.writer.close()


@pytest.mark.parametrize("context", [trusting, careless])
@pytest.mark.parametrize(
    ("authority", "end", "first"),
    [(ROOT, SOON, SOON), (ROOT, LATE, LATE), (BETWEEN, SOON, SOON), (BETWEEN, LATE, OF_CA)],
    ids=["leaf", "late leaf", "chain", "chain whose authority ends first"],
)
async def test_earliest_end_of_the_chain(
    context: Callable[[], ssl.SSLContext], authority: trustme.CA, end: datetime, first: datetime
) -> None:
    """The expiry is the earliest in the chain that the server sends, verified or not."""
    async with scripted(answer, server(end, authority)) as api, client(context()) as transport:
        assert await shown(transport, api.url) == first.timestamp()


async def test_certificate_that_has_ended_is_shown_where_nobody_verifies() -> None:
    """With insecure_skip_verify, an expiry in the past is reported."""
    async with scripted(answer, server(ENDED)) as api, client(careless()) as transport:
        assert await shown(transport, api.url) == ENDED.timestamp()


async def test_renewed_certificate_is_seen_with_the_next_connection() -> None:
    """A renewed certificate is reported from the next new connection on."""
    context = server(SOON)
    closing: list[bool] = []

    async def script(asked: Client) -> None:
        await (answer_and_close if closing else answer)(asked)

    async with scripted(script, context) as api, client(trusting()) as transport:
        assert await shown(transport, api.url) == SOON.timestamp()
        ROOT.issue_cert("127.0.0.1", not_after=LATE).configure_cert(context)
        closing.append(True)
        assert await shown(transport, api.url) == SOON.timestamp()
        assert await shown(transport, api.url) == LATE.timestamp()
        assert api.connections == 2


async def test_no_certificate_without_tls() -> None:
    """Without TLS there is no certificate expiry."""
    async with scripted(answer) as api, client(trusting()) as transport:
        assert await shown(transport, api.url) is None


async def test_certificate_of_a_proxy_is_not_the_apis() -> None:
    """The certificate of a TLS proxy is not reported as that of a plain HTTP API."""
    async with (
        scripted(answer, server(SOON)) as proxy,
        client(trusting(), proxy.url) as transport,
    ):
        assert await shown(transport, "http://api.example") is None
        assert proxy.connections == 1


async def test_certificate_is_seen_through_a_tunnel() -> None:
    """Through a CONNECT proxy, the API's certificate is reported."""
    async with (
        scripted(answer, server(SOON)) as api,
        tunnel() as proxy,
        client(trusting(), proxy) as transport,
    ):
        assert await shown(transport, api.url) == SOON.timestamp()


@asynccontextmanager
async def tunnel() -> AsyncIterator[str]:
    """Run a proxy that supports CONNECT, and yield its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(b"CONNECT ")
        host, _, port = asked.split()[1].decode().partition(":")
        from_api, to_api = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(passed_on(reader, to_api))
            group.create_task(passed_on(from_api, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


class PublicPartOnly:
    """A TLS connection on a Python version that cannot return the certificate chain."""

    def __init__(self, own: Mapping[str, object] | None) -> None:
        self._own = own

    def getpeercert(self) -> Mapping[str, object] | None:
        return self._own


@pytest.mark.parametrize(
    ("own", "end"),
    [
        ({"notAfter": "Jun  1 12:30:00 2030 GMT"}, SOON.timestamp()),
        ({"notAfter": "Bad time value"}, None),
        ({}, None),
        (None, None),
    ],
    ids=["verified", "unreadable", "not verified", "none sent"],
)
def test_own_certificate_where_the_chain_is_not_to_be_had(
    own: Mapping[str, object] | None, end: float | None
) -> None:
    """If Python cannot return the chain, the server's own certificate is used if verified."""
    assert certificate_expiry(cast("ssl.SSLObject", PublicPartOnly(own))) == end


def test_end_is_that_of_the_newest_answer() -> None:
    """A response without a certificate clears the expiry, even if it came from a cache."""
    info, now = ServerInfo(), FakeClock().now()
    for end in (1.0, 2.0, None):
        info.note(ResponseHead(None, "7", end), 0.0, now)
        assert info.certificate_expiry == end


@pytest.mark.parametrize(("url", "end"), [(ACCOUNT.base_url, 1.0), ("https://other.example", None)])
def test_another_api_starts_without(url: str, end: float | None) -> None:
    """A reload keeps the expiry only if base_url is unchanged."""
    first = access_to(ACCOUNT, FakeClock())
    first.server_info.note(ResponseHead(None, None, 1.0), 0.0, FakeClock().now())
    second = access_to(replace(ACCOUNT, base_url=url), FakeClock())
    second.resume(first)
    assert second.server_info.certificate_expiry == end
