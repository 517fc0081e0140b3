"""Serves the application: addresses, sockets, and limits for each connection.

All limits for clients are here, except those that depend on the requested path: how long clients
may take, how much they may send, and the responses to invalid requests.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from exporter.web import http_rules
from exporter.web.handshake import Handshakes
from exporter.web.tls import RenewableContext

FINISH_SECONDS = 2.0
"""Seconds that running scrapes get to finish when the exporter stops.

aiohttp waits for this time twice, and the process must exit within 5 s.
"""

MAX_PORT = 65535
FIRST_UNPRIVILEGED_PORT = 1024
"""Binding lower ports needs a privilege."""

BACKLOG = 128
"""Connections that may wait to be accepted."""

EVERY_ADDRESS = {"", "::"}
"""Hosts that mean all addresses of both families; `0.0.0.0` means all IPv4 addresses."""

_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}

COMMON_HEADERS = {hdrs.SERVER: "flashback-exporter", "X-Content-Type-Options": "nosniff"}
"""The headers of every response, including errors."""

MAX_HEADERS = 64
MAX_LINE = 8190
"""Maximum length of a header and of the request line, in bytes."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts for clients, in seconds."""

    handshake: float = 10  # for the TLS handshake
    head: float = 75
    """To receive a head, since the connection or the previous response; also to send a response."""
    body: float = 1  # for a request's body, which is discarded after the response
    shutdown: float = 2  # for closing TLS


TIMEOUTS = Timeouts()


class ListenError(Exception):
    """An address cannot be listened on."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and a port; port 0 means any free port.

    An empty host and `::` both mean all IPv4 and IPv6 addresses of the machine, as in Go.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Parse `:port`, `host:port` or `[::1]:port`. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
            hint = f": did you mean ':{text}'?" if text.isdecimal() else ""
            raise ValueError(f"{text!r} is not ':port', 'host:port' or '[IPv6]:port'{hint}")
        if "/" in host:
            raise ValueError(f"{text!r}: remove everything before the host, as in 'host:{port}'")
        bracketed = host.startswith("[") and host.endswith("]")
        if ":" in host and not bracketed:
            raise ValueError(f"{text!r}: put an IPv6 address in brackets: '[{host}]:{port}'")
        return cls(host[1:-1] if bracketed else host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def cannot_listen(
    address: ListenAddress, error: OSError, flag: str, earlier: Sequence[ListenAddress] = ()
) -> ListenError:
    """Turn the operating system's error into one for users; `earlier`: addresses bound before."""
    unknown = isinstance(error, socket.gaierror)
    reason = "unknown host name" if unknown else os.strerror(error.errno or 0).lower()
    if isinstance(error, PermissionError) and 0 < address.port < FIRST_UNPRIVILEGED_PORT:
        reason += (
            f" (a port below {FIRST_UNPRIVILEGED_PORT} requires the capability NET_BIND_SERVICE)"
        )
    same_port = [str(each) for each in earlier if _overlap(each, address)]
    if error.errno == errno.EADDRINUSE and same_port:
        reason += f" (--{flag}={same_port[0]} has the same port)"
    return ListenError(f"cannot listen on {address}: {reason}: choose another --{flag}")


def _overlap(one: ListenAddress, other: ListenAddress) -> bool:
    every = {*EVERY_ADDRESS, "0.0.0.0"}  # noqa: S104 - only compared, not bound
    return one.port == other.port and (
        one.host == other.host or bool({one.host, other.host} & every)
    )


@asynccontextmanager
async def serve(
    app: web.Application,
    addresses: Sequence[ListenAddress],
    tls: RenewableContext | None = None,
    timeouts: Timeouts = TIMEOUTS,
) -> AsyncIterator[tuple[ListenAddress, ...]]:
    """Serve on all addresses while the body runs; yields the bound ones. Raises ListenError.

    At the end, new connections are rejected and running requests get FINISH_SECONDS.
    """
    runner = web.AppRunner(app, shutdown_timeout=FINISH_SECONDS)
    await runner.setup()
    listeners: list[asyncio.Server] = []
    make = connections(cast("web.Server", runner.server), timeouts)
    handshakes = _handshakes(make, tls, timeouts) if tls else None
    accept = handshakes.accept if handshakes else make
    try:
        for number, address in enumerate(addresses):
            listeners += await _listen(accept, address, addresses[:number])
        yield tuple(dict.fromkeys(_bound_addresses(listeners)))
    finally:
        for listener in listeners:
            listener.close()
        if handshakes:
            await handshakes.close()
        await runner.cleanup()


def _handshakes(
    make: Callable[[], Connection], tls: RenewableContext, timeouts: Timeouts
) -> Handshakes:
    report = tls.log.log_failure
    return Handshakes(make, tls, report, timeouts.handshake, timeouts.shutdown)


async def _listen(
    make: Callable[[], asyncio.BaseProtocol],
    address: ListenAddress,
    earlier: Sequence[ListenAddress],
) -> list[asyncio.Server]:
    create = partial(asyncio.get_running_loop().create_server, make, backlog=BACKLOG)
    try:
        if address.host in EVERY_ADDRESS:
            return await _listen_on_all(create, _sockets_of_both_families(address.port))
        return [await create(address.host, address.port)]
    except OSError as error:
        raise cannot_listen(address, error, "web.listen-address", earlier) from error


async def _listen_on_all(
    create: Callable[..., Awaitable[asyncio.Server]], sockets: Sequence[socket.socket]
) -> list[asyncio.Server]:
    """Listen on all sockets. If one fails, all are closed."""
    listeners: list[asyncio.Server] = []
    with ExitStack() as opened:
        for each in sockets:
            opened.callback(each.close)
        for each in sockets:
            listeners.append(await create(sock=each))
            opened.callback(listeners[-1].close)
        opened.pop_all()
    return listeners


def _sockets_of_both_families(port: int) -> list[socket.socket]:
    """An IPv4 and an IPv6 socket on the same port; only IPv4 if the machine has no IPv6.

    A single socket for both would show IPv4 clients as `::ffff:192.0.2.1`.
    """
    ipv4 = socket.create_server(("", port), backlog=BACKLOG)
    same_port = ("::", ipv4.getsockname()[1])
    try:
        ipv6 = socket.create_server(same_port, family=socket.AF_INET6, backlog=BACKLOG)
    except OSError as error:
        if error.errno in _NO_IPV6:
            return [ipv4]
        ipv4.close()
        if port == 0 and error.errno == errno.EADDRINUSE:
            return _sockets_of_both_families(port)  # on another free port
        raise
    return [ipv4, ipv6]


def _bound_addresses(listeners: Iterable[asyncio.Server]) -> Iterator[ListenAddress]:
    for listener in listeners:
        for listening in listener.sockets:
            host, port, *_ = listening.getsockname()
            yield ListenAddress(host, port)


class Connection(web.RequestHandler):
    """aiohttp's handler, stricter with slow clients, and with its own error responses.

    It drops clients that do not read, and still responds to those that have closed their side.
    """

    __slots__ = ("_has_ended", "_has_tls")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._has_ended = False  # whether the client has closed its side
        self._has_tls = transport.get_extra_info("sslcontext") is not None
        super().connection_made(transport)

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio accepts both
        """Keep the connection open for pending responses; False closes it at once.

        With TLS, asyncio closes it in any case.
        """
        is_waiting = self._waiter is not None and not self._messages
        if is_waiting or self._has_tls:
            return False
        self._has_ended = True
        self._close_after_last()
        return True

    def _close_after_last(self) -> None:
        """If the client has closed its side, close ours after the current request.

        Not while more requests are queued: they would get no response.
        """
        if self._has_ended and not self._messages and not self._message_tail:
            self.close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the rest of a response; raises ConnectionAbortedError if the client is too slow."""
        try:
            async with asyncio.timeout(self.keepalive_timeout):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError as error:
            if self.transport is not None:
                self.transport.abort()
            raise ConnectionAbortedError("the response was not read in time") from error
        finally:
            self._close_after_last()

    async def start(self) -> None:
        """Serve the client's requests. Afterwards, drop the connection if the client does not read.

        With TLS, asyncio does that after the timeout for closing TLS.
        """
        transport = self.transport
        try:
            await super().start()
        finally:
            if transport and not self._has_tls and transport.get_write_buffer_size():
                loop = asyncio.get_running_loop()
                loop.call_later(self.keepalive_timeout, transport.abort)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to an error. Disconnects and errors of the client are not logged."""
        if isinstance(exc, ConnectionError):
            if self.transport is not None:
                self.transport.abort()  # abort, because close would wait until the rest is read
            raise exc
        if isinstance(exc, UnicodeError) and not request.headers.get(hdrs.EXPECT, "").isascii():
            # aiohttp raises this while it reports an unsupported expectation.
            status = HTTPStatus.EXPECTATION_FAILED
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        if isinstance(exc, HttpProcessingError):
            status = http_rules.parser_status(exc.message)
        return _refuse(request, HTTPStatus(status))


def _refuse(_request: web.BaseRequest, status: HTTPStatus) -> web.Response:
    response = web.Response(status=status, text=f"{status.phrase}\n", headers=COMMON_HEADERS)
    response.force_close()
    return response


def connections(server: web.Server, timeouts: Timeouts) -> Callable[[], Connection]:
    """A factory that makes the connection for each client of `server`."""
    http_rules.enforce(server, _refuse)
    return partial(
        Connection,
        server,
        loop=asyncio.get_running_loop(),
        keepalive_timeout=timeouts.head,
        lingering_time=timeouts.body,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        max_headers=MAX_HEADERS,
        auto_decompress=False,
        access_log=None,  # type: ignore[arg-type] # None is documented
    )
