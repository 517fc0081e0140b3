"""Failing TLS handshakes over real sockets: what the client gets, and what is logged."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import warnings
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from exporter.logs import PERIOD
from exporter.web.handshake import LINES_PER_PERIOD, HandshakeLog, Handshakes, failure_text
from exporter.web.server import ListenAddress, Timeouts
from tests.harness.fakes import FakeClock
from tests.web.guarded import LONG_AGO, MUTUAL_TLS, TLS, Site, browser, guarded
from tests.web.raw import DEADLINE, SCRAPE, raw

OPTIONAL_TLS = MUTUAL_TLS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
SUITE = f"{TLS}  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n"
CLOSE_NOTIFY = b"\x15\x03\x03\0\x02\x01\0"
NO_CERTIFICATE = "the client sent no certificate"
NO_VERSION = "the client has no TLS version in common with this server"
NO_CIPHER = "the client has no cipher suite or curve in common with this server"
FOREIGN = "the client certificate was rejected: unable to get local issuer certificate"
EXPIRED = "the client certificate was rejected: certificate has expired"
PLAIN_HTTP = "the client sent plain HTTP: use https"


def no_certificate(site: Site) -> ssl.SSLContext:
    return site.client_context()


def no_certificate_in_tls_1_2(site: Site) -> ssl.SSLContext:
    context = site.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def foreign_certificate(site: Site) -> ssl.SSLContext:
    return site.client_context(trustme.CA().issue_cert("prometheus"))


def expired_certificate(site: Site) -> ssl.SSLContext:
    cert = site.client_ca.issue_cert("prometheus", not_before=LONG_AGO, not_after=LONG_AGO)
    return site.client_context(cert)


def tls_1_1(site: Site) -> ssl.SSLContext:
    context = site.client_context()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def other_cipher(site: Site) -> ssl.SSLContext:
    context = site.client_context()
    context.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
    return context


def other_curve(site: Site) -> ssl.SSLContext:
    context = site.client_context()
    context.set_ecdh_curve("secp521r1")
    return context


@pytest.mark.parametrize(
    ("text", "client", "alert", "reason"),
    [
        (MUTUAL_TLS, no_certificate, "CERTIFICATE_REQUIRED", NO_CERTIFICATE),
        (MUTUAL_TLS, no_certificate_in_tls_1_2, "HANDSHAKE_FAILURE", NO_CERTIFICATE),
        (MUTUAL_TLS, foreign_certificate, "UNKNOWN_CA", FOREIGN),
        (OPTIONAL_TLS, foreign_certificate, "UNKNOWN_CA", FOREIGN),
        (MUTUAL_TLS, expired_certificate, "CERTIFICATE_EXPIRED", EXPIRED),
        (TLS, tls_1_1, "PROTOCOL_VERSION", NO_VERSION),
        (f"{TLS}  min_version: TLS13\n", no_certificate_in_tls_1_2, "PROTOCOL_VERSION", NO_VERSION),
        (SUITE, other_cipher, "HANDSHAKE_FAILURE", NO_CIPHER),
        (
            f"{TLS}  curve_preferences: [CurveP384]\n",
            other_curve,
            "HANDSHAKE_FAILURE",
            "the client has no curve in common with this server",
        ),
        (
            f"{TLS}  curve_preferences: [CurveP384]\n  max_version: TLS12\n",
            other_curve,
            "HANDSHAKE_FAILURE",
            NO_CIPHER,
        ),
    ],
)
async def test_the_client_gets_the_alert_and_the_log_the_reason(
    tmp_path: Path, text: str, client: Callable[[Site], ssl.SSLContext], alert: str, reason: str
) -> None:
    """A failing handshake sends its TLS alert, and logs one line with the peer and the reason."""
    site = Site(tmp_path, text)
    with capture_logs() as events:
        async with guarded(site.security()) as address:
            with connected(address) as connection:
                peer = name(connection)
                with pytest.raises(ssl.SSLError) as caught:
                    await scrape(connection, client(site))
    assert caught.value.reason.endswith(f"_ALERT_{alert}")
    assert events == [failed(peer, reason)]


@contextmanager
def connected(address: ListenAddress) -> Iterator[socket.socket]:
    """A connection whose own address is known before the handshake."""
    with socket.create_connection((address.host, address.port)) as connection:
        yield connection


async def scrape(connection: socket.socket, context: ssl.SSLContext) -> bytes:
    """The response to a scrape; raises ssl.SSLError with the alert's name."""
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection(
            sock=connection.dup(), ssl=context, server_hostname="127.0.0.1"
        )
        try:
            writer.write(SCRAPE)
            return await reader.read()
        finally:
            writer.transport.abort()


def name(connection: socket.socket) -> str:
    return "{}:{}".format(*connection.getsockname())


def failed(peer: str, reason: str) -> MutableMapping[str, Any]:
    return {
        "event": "tls_handshake_failed",
        "log_level": "warning",
        "peer": peer,
        "reason": reason,
    }


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT"])
async def test_plain_http_is_answered_in_words(tmp_path: Path, method: bytes) -> None:
    """Plain HTTP gets a 400 that says to use https, and the server closes the connection."""
    site = Site(tmp_path, TLS)
    with capture_logs() as events:
        async with guarded(site.security()) as address, raw(address) as connection:
            peer = name(connection.writer.get_extra_info("socket"))
            connection.send(SCRAPE.replace(b"GET", method))
            head = await connection.head()
            body = await connection.rest()
    assert head.startswith("HTTP/1.1 400 Bad Request\r\n")
    assert f"Content-Length: {len(body)}\r\n" in head
    assert "Connection: close\r\n" in head
    assert body == b"You sent a plain HTTP request to an HTTPS port: use https://\n"
    assert events == [failed(peer, PLAIN_HTTP)]


async def test_a_long_request_in_plain_http_is_answered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of a long plain HTTP request is discarded: a reset could lose the response."""
    site, buffers, make = Site(tmp_path, TLS), [], ssl.MemoryBIO

    def keep() -> ssl.MemoryBIO:
        buffers.append(make())
        return buffers[-1]

    monkeypatch.setattr(ssl, "MemoryBIO", keep)
    with capture_logs() as events:
        async with guarded(site.security()) as address, raw(address) as connection:
            connection.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await connection.head()).startswith("HTTP/1.1 400 ")
            async with asyncio.timeout(DEADLINE):
                for _ in range(50):
                    connection.send(b"x" * 100_000)
                    await connection.writer.drain()
                connection.writer.write_eof()
                while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - the other is the handshake's
                    await asyncio.sleep(0)
            assert (await connection.rest()).endswith(b"use https://\n")
    assert len(events) == 1
    assert [buffer.pending for buffer in buffers] == [0, 0]


async def test_garbage_is_logged(tmp_path: Path) -> None:
    """Bytes that are neither TLS nor HTTP are logged, and get no HTTP response."""
    site = Site(tmp_path, TLS)
    with capture_logs() as events:
        async with guarded(site.security()) as address, raw(address) as connection:
            peer = name(connection.writer.get_extra_info("socket"))
            connection.send(b"\0\xff garbage\r\n\r\n")
            assert b"HTTP" not in await connection.rest()
    assert events == [failed(peer, "the client does not speak TLS")]


async def test_client_alert_is_logged(tmp_path: Path) -> None:
    """The alert with which a client rejects the handshake is logged."""
    site = Site(tmp_path, TLS)
    with capture_logs() as events:
        async with guarded(site.security()) as address, asyncio.timeout(DEADLINE):
            with connected(address) as connection:
                peer = name(connection)
                # In a thread, since asyncio's own clients do not send their alerts either.
                with pytest.raises(ssl.SSLCertVerificationError):
                    await asyncio.to_thread(shake_hands, connection)
            while not events:  # noqa: ASYNC110 - the server has yet to read the alert
                await asyncio.sleep(0)
    assert events == [failed(peer, "the client rejected the handshake: unknown ca")]


def shake_hands(connection: socket.socket) -> None:
    """Do a handshake as a client that trusts only the CAs of the system."""
    with ssl.create_default_context().wrap_socket(connection, server_hostname="127.0.0.1"):
        pass


async def test_early_disconnects_are_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients that disconnect during the handshake, such as port checks, are not logged."""
    site = Site(tmp_path, TLS)
    context = site.client_context()
    with capture_logs() as events:
        async with guarded(site.security()) as address, browser(address, context) as client:
            for said in (b"", b"\x16\x03\x01"):
                async with raw(address) as connection:
                    connection.send(said)
            async with raw(address) as connection:
                connection.send(client_hello(context) + CLOSE_NOTIFY)
                assert await connection.rest() == b""
            assert (await client.get("/metrics")).status_code == 200
    assert not events
    assert not caplog.records


def client_hello(context: ssl.SSLContext) -> bytes:
    """The first TLS message of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


async def test_the_end_does_not_wait_for_handshakes(tmp_path: Path) -> None:
    """Unfinished handshakes are dropped when the server stops, and leave no task behind."""
    site, patient = Site(tmp_path, TLS), Timeouts(handshake=3600)
    async with AsyncExitStack() as clients, asyncio.timeout(DEADLINE):
        async with guarded(site.security(), timeouts=patient) as address:
            silent = await clients.enter_async_context(raw(address))
            while len(asyncio.all_tasks()) == 1:  # noqa: ASYNC110 - the other is the handshake's
                await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        assert await silent.rest() == b""


def tls_error(reason: str | None = "BAD_EXTENSION") -> ssl.SSLError:
    error = ssl.SSLError(1, "x")
    error.reason = reason  # type: ignore[assignment] # None occurs, whatever typeshed says
    return error


async def test_ipv6_peers_are_written_in_brackets() -> None:
    """The log writes an IPv6 peer in brackets, as in flags."""
    with capture_logs() as events:
        HandshakeLog(FakeClock()).log_failure(("::1", 5000, 0, 0), tls_error())
    assert [event["peer"] for event in events] == ["[::1]:5000"]


async def test_lines_are_bounded() -> None:
    """At most twenty failures are logged per minute, and the rest are counted."""
    clock = FakeClock()
    log = HandshakeLog(clock)
    with capture_logs() as events:
        for port in range(100):
            log.log_failure(("10.0.0.1", port), tls_error())
        await clock.advance(PERIOD)
        log.log_failure(("10.0.0.1", 100), tls_error())
    names = [event["event"] for event in events]
    assert names == [
        *["tls_handshake_failed"] * LINES_PER_PERIOD,
        "tls_handshake_failures_are_left_out",
        "tls_handshake_failures_left_out",
        "tls_handshake_failed",
    ]
    assert events[-2]["count"] == 100 - LINES_PER_PERIOD


async def test_what_was_being_accepted_at_the_end_is_closed(tmp_path: Path) -> None:
    """A connection that is accepted while the server stops is closed without a handshake."""
    site = Site(tmp_path, TLS)
    tls = site.security().tls
    assert tls
    handshakes = Handshakes(asyncio.Protocol, tls, tls.log.log_failure, 10, 1)
    server = await asyncio.get_running_loop().create_server(handshakes.accept, "127.0.0.1", 0)
    await handshakes.close()
    host, port = server.sockets[0].getsockname()
    async with raw(ListenAddress(host, port)) as connection:
        assert await connection.rest() == b""
        assert len(asyncio.all_tasks()) == 1
    server.close()


async def test_descriptor_exhaustion_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that cannot be accepted is closed, and the reason is logged."""

    def refuse(_: TransportSocket) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(TransportSocket, "dup", refuse)
    site = Site(tmp_path, TLS)
    with capture_logs() as events:
        async with guarded(site.security()) as address, raw(address) as connection:
            peer = name(connection.writer.get_extra_info("socket"))
            assert await connection.rest() == b""
    reason = "the exporter cannot accept the connection: Too many open files"
    assert events == [failed(peer, reason)]


def test_what_openssl_alone_knows_is_said_in_its_words() -> None:
    """A failure for which there is no own text has the reason that OpenSSL gives."""
    assert failure_text(tls_error()) == "OpenSSL error: bad extension"
    assert failure_text(tls_error(None)) == "OpenSSL error: no reason"
