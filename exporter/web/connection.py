"""One client's connection: how long it may take, how much it may send, what a fault answers.

Every bound on a hostile client that does not depend on what it asks for is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from aiohttp import hdrs, web

COMMON_HEADERS = {hdrs.SERVER: "flashback-exporter", "X-Content-Type-Options": "nosniff"}
"""What every answer carries, an error's too."""

MAX_HEADERS = 64
MAX_LINE = 8190
"""Bytes of a header or of the request line."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a client may take, seconds."""

    handshake: float = 10  # TLS, from the connection on
    head: float = 75  # a request's head, from the connection or the last answer on; also idleness
    body: float = 1  # a request's body, which nobody reads, from the answer on
    farewell: float = 2  # the end of TLS


class Connection(web.RequestHandler):
    """aiohttp's, with answers of our own to requests that cannot be parsed or served."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a fault. A client's own is no event, and neither is that it went away."""
        if isinstance(exc, ConnectionError):
            if self.transport is not None:
                self.transport.abort()  # not closed: that would wait for the rest to be read
            raise exc
        if isinstance(exc, UnicodeError) and not request.headers.get(hdrs.EXPECT, "").isascii():
            # aiohttp stumbles while it says which expectation it does not know.
            status = HTTPStatus.EXPECTATION_FAILED
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        text = f"{HTTPStatus(status).phrase}\n"
        response = web.Response(status=status, text=text, headers=COMMON_HEADERS)
        response.force_close()
        return response


def connections(server: web.Server, timeouts: Timeouts) -> Callable[[], Connection]:
    """What makes the connection for each client of `server`."""
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
        access_log=None,  # type: ignore[arg-type] # as its documentation allows
    )
