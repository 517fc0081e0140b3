"""Performs TLS handshakes, and reports failed ones to the client and to the log.

asyncio alone closes the connection without sending the TLS alert and without logging anything. The
TLS settings are in `tls`; `server` serves the connections afterwards.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeAlias, cast

import structlog

from exporter.clock import Clock
from exporter.logs import PERIOD, LineLimit

LINES_PER_PERIOD = 20

HTTP_RESPONSE = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n"
    b"Connection: close\r\n"
    b"Server: flashback-exporter\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"\r\n%s"
)
HTTP_MESSAGE = b"You sent a plain HTTP request to an HTTPS port: use https://\n"

PLAIN_HTTP = {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}
"""OpenSSL's reasons if the first bytes look like an HTTP request."""

_REASONS = {
    "HTTP_REQUEST": "the client sent plain HTTP: use https",
    "HTTPS_PROXY_REQUEST": "the client used this port as a proxy",
    "NO_SHARED_CIPHER": "the client has no cipher suite or curve in common with this server",
    "NO_SHARED_GROUP": "the client has no curve in common with this server",
    "NO_SUITABLE_GROUPS": "the client has no curve in common with this server",
    "NO_SUITABLE_KEY_SHARE": "the client has no curve in common with this server",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client sent no certificate",
    "UNSUPPORTED_PROTOCOL": "the client has no TLS version in common with this server",
    "WRONG_VERSION_NUMBER": "the client does not speak TLS",
}

_REFUSED_BY_CLIENT = ("SSLV3_ALERT_", "TLSV1_ALERT_", "TLSV13_ALERT_")
"""Prefixes of OpenSSL's reasons if the client sent the alert."""

OnFailure: TypeAlias = Callable[[Any, OSError], None]
"""Is called with a client's socket address and the error when its connection fails."""

_log = structlog.get_logger()

_on_error: ContextVar[Callable[[ssl.SSLError], None]] = ContextVar("_on_error")
"""The callback for the current task's connection. asyncio creates the SSL object in that task."""


class AlertingSSLObject(ssl.SSLObject):
    """Makes asyncio send the TLS alert of a failed handshake.

    asyncio sends the outgoing buffer only during the handshake. So after a failure this object
    pretends to wait for more data, until the client disconnects or the handshake times out.
    """

    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _failed = False

    def prepare(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        """Store the buffers of the SSL object. Called before the handshake."""
        self._incoming, self._outgoing = incoming, outgoing
        self._on_error = _on_error.get()

    def do_handshake(self) -> None:
        if not self._failed:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLZeroReturnError):
                raise  # not finished, or properly ended by the client
            except ssl.SSLError as error:
                self._fail(error)
            else:
                return
        self._incoming.read()  # discard what the client still sends
        raise ssl.SSLWantReadError

    def _fail(self, error: ssl.SSLError) -> None:
        self._failed = True
        if error.reason in PLAIN_HTTP:
            self._outgoing.read()
            self._outgoing.write(HTTP_RESPONSE % (len(HTTP_MESSAGE), HTTP_MESSAGE))
        self._on_error(error)


class AlertingContext(ssl.SSLContext):
    """Creates SSL objects that send alerts. `prepare` must be called on each."""

    sslobject_class = AlertingSSLObject


class Handshakes:
    """Performs the handshakes for connections that were accepted as plain TCP.

    `make` creates the protocol of a connection after its handshake. `close` must be called at the
    end.
    """

    def __init__(
        self,
        make: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext,
        on_failure: OnFailure,
        handshake_timeout: float,
        shutdown_timeout: float,
    ) -> None:
        self._make = make
        self._context = context
        self._on_failure = on_failure
        self._timeouts = handshake_timeout, shutdown_timeout
        # Not a TaskGroup: it would wrap exceptions from the body of `serve`.
        self._running: dict[asyncio.Task[None], socket.socket] = {}
        self._is_closed = False

    def accept(self) -> asyncio.Protocol:
        """The protocol for a connection that was just accepted."""
        return _Accepted(self._start, self._on_failure)

    async def close(self) -> None:
        """Drop the connections whose handshake is not finished."""
        self._is_closed = True
        for connection in self._running.values():
            # Not cancelled: asyncio would leave connections open whose handshake has not started.
            _shut_down(connection, socket.SHUT_RDWR)
        await asyncio.gather(*self._running)

    def _start(self, connection: socket.socket, peer: Any) -> None:  # noqa: ANN401 - depends on the family
        if self._is_closed:  # it was accepted just before `close`
            connection.close()
            return
        task = asyncio.get_running_loop().create_task(self._run(connection, peer))
        self._running[task] = connection
        task.add_done_callback(self._running.pop)

    async def _run(self, connection: socket.socket, peer: Any) -> None:  # noqa: ANN401 - depends on the family
        _on_error.set(partial(self._fail, connection, peer))
        handshake, shutdown = self._timeouts
        # Disconnects and timeouts are not logged, because port checks cause both.
        with suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=handshake,
                ssl_shutdown_timeout=shutdown,
            )

    def _fail(self, connection: socket.socket, peer: Any, error: ssl.SSLError) -> None:  # noqa: ANN401 - depends on the family
        self._on_failure(peer, error)
        # After the alert is sent: if the socket is closed at once, the system may discard it.
        asyncio.get_running_loop().call_soon(_shut_down, connection, socket.SHUT_WR)


class _Accepted(asyncio.Protocol):
    """Takes the socket from asyncio before anything is read from it.

    If asyncio performed the handshake itself, there would be no way to tell whose handshake failed.
    """

    def __init__(self, start: Callable[[socket.socket, Any], None], on_failure: OnFailure) -> None:
        self._start = start
        self._on_failure = on_failure

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast("asyncio.Transport", transport)
        peer = accepted.get_extra_info("peername")
        try:
            connection = accepted.get_extra_info("socket").dup()
        except OSError as error:
            self._on_failure(peer, error)
        else:
            self._start(connection, peer)
        accepted.abort()  # closes its own descriptor only, not the copy


def _shut_down(connection: socket.socket, how: int) -> None:
    with suppress(OSError):  # the client has disconnected
        connection.shutdown(how)


class HandshakeLog:
    """Logs failed handshakes at a limited rate."""

    def __init__(self, clock: Clock) -> None:
        self._limit = LineLimit(clock, LINES_PER_PERIOD, self._warn, self._sum_up)

    def log_failure(self, peer: tuple[Any, ...], error: OSError) -> None:
        if self._limit.has_room():
            host, port, *_ = peer
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            _log.warning("tls_handshake_failed", peer=address, reason=failure_text(error))

    @staticmethod
    def _warn() -> None:
        _log.warning("tls_handshake_failures_are_left_out", seconds=PERIOD)

    @staticmethod
    def _sum_up(count: int) -> None:
        _log.warning("tls_handshake_failures_left_out", count=count)


def failure_text(error: OSError) -> str:
    """Why a handshake failed. Contains nothing that was received from the client."""
    if not isinstance(error, ssl.SSLError):
        return f"the exporter cannot accept the connection: {error.strerror}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client certificate was rejected: {error.verify_message}"
    reason = error.reason or "no reason"  # errors of the operating system have no reason
    words = reason.lower().replace("_", " ")
    if reason.startswith(_REFUSED_BY_CLIENT):
        return f"the client rejected the handshake: {words.partition(' alert ')[2]}"
    return _REASONS.get(reason, f"OpenSSL error: {words}")
