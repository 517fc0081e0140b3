"""The connection pool and the resolver under aiohttp.

aiohttp reuses any connection that is still open. If a server has sent an unexpected response on it,
that would be read as the response to the next request, and all later responses would be off by one.
This pool reuses a connection only if nothing was received since its last response. Names are
resolved in daemon threads, so a hanging lookup never delays the exit.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeAlias, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.tracing import Trace

from exporter.blocking import in_thread
from exporter.upstream.server_info import certificate_expiry

FRESH_WANTED: ContextVar[bool] = ContextVar("FRESH_WANTED", default=False)
"""Whether the current request must not use an idle connection."""

MAX_HEAD_BYTES = 80 * 1024
"""Maximum size of a response's head. Leaves room for the 64 KiB that some gateways send."""

MAX_HEADERS = 400
"""Maximum headers of a response. Leaves room for the 300 that some gateways send."""

_PROBE = b"HTTP/1.1 204 \r\n\r\n"
_PROBED = (204, "", ())


class Pool(aiohttp.TCPConnector):
    """aiohttp's pool; reuses a connection only if nothing came after its last response."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(**settings)
        # A private attribute: aiohttp has no public one. If that changes, connect() raises.
        self._factory = cast("partial[ResponseHandler]", partial(WatchedConnection, self._loop))
        self.certificate_expiry: float | None = None
        """The earliest expiry in the newest certificate chain, as Unix time; None if unknown."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> Connection:
        """Return a connection that can be used for a request, and close idle ones that cannot.

        If FRESH_WANTED is set, no idle connection is used. That is the case for a third attempt
        after connection errors: the other idle connections are about as old, and probably dead.
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            watched = connection.protocol
            if not isinstance(watched, WatchedConnection):
                raise TypeError("aiohttp did not use the connection factory")
            if not watched.was_used:
                # Through a proxy, the TLS of a connection for an http:// URL would be the proxy's.
                self.certificate_expiry = watched.certificate_expiry() if req.is_ssl() else None
            if not watched.was_used or (not FRESH_WANTED.get() and watched.is_reusable()):
                watched.is_idle = False
                connection.add_callback(watched.give_back)
                return connection
            connection.close()


class WatchedConnection(ResponseHandler):
    """aiohttp's protocol for a connection, which closes it if data comes without a request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.was_used = False
        self.is_idle = False
        self._head_bytes = 0  # of a head that is still incomplete

    def is_reusable(self) -> bool:
        """Whether nothing was received since the last response."""
        return not self.should_close and not self._is_readable() and self._is_between_responses()

    def certificate_expiry(self) -> float | None:
        """The earliest expiry in the server's certificate chain, Unix time; None if unknown."""
        transport = self.transport
        shown = None if transport is None else transport.get_extra_info("ssl_object")
        return None if shown is None else certificate_expiry(shown)

    def give_back(self) -> None:
        """Mark the connection as idle: its response is complete, or it is about to be closed."""
        self.was_used = self.is_idle = True
        self._head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Pass data on to aiohttp if it belongs to a response, else close the connection."""
        if self.is_idle and data:
            self.abort()
            return
        before = self._payload
        in_head = before is None or before.is_eof()
        super().data_received(data)
        if in_head and self._payload is before:
            self._limit_head(len(data))
        if self.is_idle and self.should_close:  # data after the end of the response
            self.abort()
        error, body = self.exception(), self._payload
        if error is not None and body is not None and not body.is_eof():
            # aiohttp tells only callers that wait for a head: a reader of the body would hang.
            body.set_exception(error)

    def _limit_head(self, more: int) -> None:
        """Fail if a head is too large: aiohttp limits each header, but not their sum."""
        self._head_bytes += more
        if self._head_bytes > MAX_HEAD_BYTES and self.transport is not None:
            self.transport.close()
            self.set_exception(LineTooLong("", MAX_HEAD_BYTES))

    def _is_readable(self) -> bool:
        """Whether data, or the end of the connection, is waiting to be read by the event loop."""
        transport = self.transport
        socket = None if transport is None else transport.get_extra_info("socket")
        if socket is None:
            return True
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return bool(poll.poll(0))

    def _is_between_responses(self) -> bool:
        """Whether the last response ended with the last byte that was received.

        aiohttp's parser does not tell whether it has started on another response. So a probe is
        parsed: if the result is unchanged, the parser was between two responses.
        """
        if self._parser is None:
            return False
        try:
            messages, _, _ = self._parser.feed_data(_PROBE)
        except HttpProcessingError:
            return False
        return [(each.code, each.reason, each.raw_headers) for each, _ in messages] == [_PROBED]


LookUp: TypeAlias = "Callable[..., list[tuple[Any, ...]]]"
"""A function like `socket.getaddrinfo`."""


class Resolver(AbstractResolver):
    """Resolves names in threads. Concurrent lookups of the same name share one thread.

    All accounts share one resolver, over reloads too, so a name whose lookup hangs costs one
    thread. `look_up` defaults to `socket.getaddrinfo`.
    """

    def __init__(self, look_up: LookUp | None = None) -> None:
        self._look_up = look_up or socket.getaddrinfo
        self._under_way: dict[tuple[str, int], asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises OSError."""
        key = (host, int(family))
        found = self._under_way.get(key)
        if found is None:
            found = in_thread(partial(_addresses, self._look_up, host, int(family)))
            self._under_way[key] = found
            found.add_done_callback(lambda _: self._under_way.pop(key))
        return [each | {"port": port} for each in await asyncio.shield(found)]

    async def close(self) -> None:
        """Do nothing: a pending lookup ends by itself, and its thread does not delay the exit."""


def _addresses(look_up: LookUp, host: str, family: int) -> list[ResolveResult]:
    kind, flags = socket.SOCK_STREAM, socket.AI_ADDRCONFIG
    try:
        found = look_up(host, None, family=family, type=kind, flags=flags)
    except UnicodeError as error:  # one of the name's labels is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "it is not a valid name") from error
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return [
        ResolveResult(
            hostname=host,
            host=socket.getnameinfo(address, numeric)[0],  # keeps the zone of a link-local address
            port=0,
            family=of_kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for of_kind, _, protocol, _, address in found
    ]
