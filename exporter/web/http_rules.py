"""What HTTP/1.1 forbids in the head of a request, and aiohttp's parser lets through.

It is refused before authentication and routes see it, with the statuses of Go's net/http.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeAlias

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http import RawRequestMessage

_HOST = re.compile(r"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*")
"""Bytes that RFC 3986 allows in a host with its port; Go allows the same."""

_REFUSED = web.RequestKey("_REFUSED", HTTPStatus)

Refuse: TypeAlias = Callable[[web.BaseRequest, HTTPStatus], web.StreamResponse]
"""Makes the answer to a request that is refused."""


def enforce(server: web.Server, refuse: Refuse) -> None:
    """Let `refuse` answer, in place of the application, what `refusal` has a status for."""
    make, handle = server.request_factory, server.request_handler

    def make_checked(message: RawRequestMessage, *connection: Any) -> web.BaseRequest:  # noqa: ANN401 - passed on
        status = refusal(message)
        if status is None:
            return make(message, *connection)
        # aiohttp answers in the version of the request, and that may be none of ours.
        request = make(message._replace(version=HttpVersion10), *connection)
        request[_REFUSED] = status
        return request

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        status = request.get(_REFUSED)
        return await handle(request) if status is None else refuse(request, status)

    server.request_factory, server.request_handler = make_checked, answer


def refusal(message: RawRequestMessage) -> HTTPStatus | None:
    """The status with which a request is refused for its head; None: it is not."""
    if message.version not in {HttpVersion10, HttpVersion11}:
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    if not _HOST.fullmatch(message.headers.get(hdrs.HOST, "")):
        return HTTPStatus.BAD_REQUEST
    if message.headers.get(hdrs.TRANSFER_ENCODING, "chunked").lower() != "chunked":
        return HTTPStatus.NOT_IMPLEMENTED
    return None


def parser_status(message: str) -> HTTPStatus:
    """The status of a request that the parser refused with this text, of which line 1 is its own.

    The parser has one exception for most faults, and the reason in words alone.
    """
    reason = message.partition("\n")[0]
    is_coding = "nvalid `Transfer-Encoding`" in reason
    return HTTPStatus.NOT_IMPLEMENTED if is_coding else HTTPStatus.BAD_REQUEST
