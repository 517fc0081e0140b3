"""Rejects requests that HTTP/1.1 forbids but aiohttp's parser accepts.

They are rejected before authentication and routing, with the same status codes as Go's net/http.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeAlias

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http import RawRequestMessage

_HOST = re.compile(r"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*")
"""The characters that RFC 3986 allows in a host with port; Go allows the same."""

_REFUSED = web.RequestKey("_REFUSED", HTTPStatus)

Refuse: TypeAlias = Callable[[web.BaseRequest, HTTPStatus], web.StreamResponse]
"""Makes the response to a rejected request."""


def enforce(server: web.Server, refuse: Refuse) -> None:
    """Respond with `refuse` if `refusal` returns a status; the application sees no such request."""
    make, handle = server.request_factory, server.request_handler

    def make_checked(message: RawRequestMessage, *connection: Any) -> web.BaseRequest:  # noqa: ANN401 - passed on
        status = refusal(message)
        if status is None:
            return make(message, *connection)
        # aiohttp responds in the request's HTTP version, which may not be supported.
        request = make(message._replace(version=HttpVersion10), *connection)
        request[_REFUSED] = status
        return request

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        status = request.get(_REFUSED)
        return await handle(request) if status is None else refuse(request, status)

    server.request_factory, server.request_handler = make_checked, answer


def refusal(message: RawRequestMessage) -> HTTPStatus | None:
    """The status code for rejecting a request because of its head, or None."""
    if message.version not in {HttpVersion10, HttpVersion11}:
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    if not _HOST.fullmatch(message.headers.get(hdrs.HOST, "")):
        return HTTPStatus.BAD_REQUEST
    if message.headers.get(hdrs.TRANSFER_ENCODING, "chunked").lower() != "chunked":
        return HTTPStatus.NOT_IMPLEMENTED
    return None


def parser_status(message: str) -> HTTPStatus:
    """The status code for a request that the parser rejected with this message.

    The parser raises the same exception for most errors, so the first line of the message decides.
    The other lines quote the request.
    """
    reason = message.partition("\n")[0]
    is_coding = "nvalid `Transfer-Encoding`" in reason  # "Invalid" or "invalid"
    return HTTPStatus.NOT_IMPLEMENTED if is_coding else HTTPStatus.BAD_REQUEST
