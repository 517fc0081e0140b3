"""Which kept connections are used again, and how the API's name becomes addresses.

aiohttp uses any that is still open. An answer that nobody asked for would be read as that to the
next request, and from there on each answer would belong to the request before it: here only those
are used on which nothing has come. Names resolve in threads that nobody has to wait for.
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
"""Whether the request that is being sent must not use a kept connection."""

MAX_HEAD_BYTES = 80 * 1024
"""Of an answer's head: gateways send 64 KiB of headers, which take some more on the wire."""

MAX_HEADERS = 400
"""In a head: gateways send 300."""

_PROBE = b"HTTP/1.1 204 \r\n\r\n"
_PROBED = (204, "", ())


class Pool(aiohttp.TCPConnector):
    """aiohttp's pool, out of which a connection is taken only if nothing has come on it."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(**settings)
        # Not public, but the one place that aiohttp has for it; tests/upstream/test_pool.py tells.
        self._factory = cast("partial[ResponseHandler]", partial(WatchedConnection, self._loop))
        self.certificate_expiry: float | None = None
        """When the first certificate of the newest connection ends, Unix time, if that is known."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> Connection:
        """A connection that is fit for a request. Those kept ones that are not are closed.

        All of them are not fit where a fresh one is wanted: it is after two had closed under
        a request, and the others have been kept for as long.
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            watched = connection.protocol
            if not isinstance(watched, WatchedConnection):
                raise TypeError("aiohttp did not make the connection as it was told to")
            if not watched.was_used:
                # Over a proxy, where the URL is no https, the certificate would be the proxy's.
                self.certificate_expiry = watched.certificate_expiry() if req.is_ssl() else None
            if not watched.was_used or (not FRESH_WANTED.get() and watched.is_fit()):
                watched.is_idle = False
                connection.add_callback(watched.give_back)
                return connection
            connection.close()


class WatchedConnection(ResponseHandler):
    """aiohttp's side of a connection, which ends it once something comes unasked."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.was_used = False
        self.is_idle = False
        self._head_bytes = 0  # of a head that has not come to its end

    def is_fit(self) -> bool:
        """Whether nothing has come since the last answer."""
        return not self.should_close and not self._is_readable() and self._is_between_answers()

    def certificate_expiry(self) -> float | None:
        """When the first of the certificates that the server has shown ends, Unix time."""
        transport = self.transport
        shown = None if transport is None else transport.get_extra_info("ssl_object")
        return None if shown is None else certificate_expiry(shown)

    def give_back(self) -> None:
        """End a request: its answer is whole, or the connection is about to be closed."""
        self.was_used = self.is_idle = True
        self._head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Hand over what came in answer to a request, and nothing else."""
        if self.is_idle and data:
            self.abort()
            return
        before = self._payload
        in_head = before is None or before.is_eof()
        super().data_received(data)
        if in_head and self._payload is before:
            self._wait_for_head(len(data))
        if self.is_idle and self.should_close:  # more came than the answer that has just ended
            self.abort()
        error, body = self.exception(), self._payload
        if error is not None and body is not None and not body.is_eof():
            # aiohttp tells only those who wait for a head; a body's reader would wait for ever.
            body.set_exception(error)

    def _wait_for_head(self, more: int) -> None:
        """Give up on a head that is too large: aiohttp limits each header, but not their sum."""
        self._head_bytes += more
        if self._head_bytes > MAX_HEAD_BYTES and self.transport is not None:
            self.transport.close()
            self.set_exception(LineTooLong("", MAX_HEAD_BYTES))

    def _is_readable(self) -> bool:
        """Whether something has come that the event loop has not read yet, an end included."""
        transport = self.transport
        socket = None if transport is None else transport.get_extra_info("socket")
        if socket is None:
            return True
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return bool(poll.poll(0))

    def _is_between_answers(self) -> bool:
        """Whether the last answer ended with the last byte that came.

        The parser does not say whether it has begun another one. If it has not, an answer that it
        is given now comes out as it went in.
        """
        if self._parser is None:
            return False
        try:
            messages, _, _ = self._parser.feed_data(_PROBE)
        except HttpProcessingError:
            return False
        return [(each.code, each.reason, each.raw_headers) for each, _ in messages] == [_PROBED]


LookUp: TypeAlias = "Callable[..., list[tuple[Any, ...]]]"
"""A function such as the system's getaddrinfo."""


class Resolver(AbstractResolver):
    """Looks names up, each once at a time, however many wait for it.

    All accounts of a process share one, over reloads too: a name whose look-up hangs costs one
    thread. `look_up` is the system's getaddrinfo where it is not given.
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
        """Nothing to close: a look-up under way ends by itself, and its thread stops nobody."""


def _addresses(look_up: LookUp, host: str, family: int) -> list[ResolveResult]:
    kind, flags = socket.SOCK_STREAM, socket.AI_ADDRCONFIG
    try:
        found = look_up(host, None, family=family, type=kind, flags=flags)
    except UnicodeError as error:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "it is not a valid name") from error
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return [
        ResolveResult(
            hostname=host,
            host=socket.getnameinfo(address, numeric)[0],  # with the zone of a link-local one
            port=0,
            family=of_kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for of_kind, _, protocol, _, address in found
    ]
