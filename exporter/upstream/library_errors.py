"""Maps exceptions of the network libraries to a reason and a fixed message.

The text of an exception may quote received data, including tokens, so it is never used. A message
contains only our own text, the configured host and port, and fixed texts of the operating system,
OpenSSL and HTTP.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator

import aiohttp
import httpx
from aiohttp import http_exceptions

from exporter.model import ApiError, Reason

LIBRARY_ERRORS = (httpx.HTTPError, aiohttp.ClientError, http_exceptions.HttpProcessingError)
"""The exceptions of a request that are about the server or the network, not bugs."""

_LOCAL_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}
"""Errors of the operating system that mean that this machine cannot open a connection."""


_NOT_HTTP = ApiError(
    Reason.MALFORMED, "the response is not valid HTTP: its headers, length or chunks are malformed"
)

_HEAD_TOO_LARGE = ApiError(
    Reason.MALFORMED, "the response has too many or too long headers: the limits are 400 and 80 KiB"
)

_BODY_TRUNCATED = ApiError(
    Reason.CONNECT, "the connection closed before the full Content-Length was received"
)

_TOO_MANY_HEADERS = "Too many headers received"
"""aiohttp's fixed text for this error, which has no class of its own."""

_CONNECTION_ERRORS = (
    (aiohttp.ClientResponseError, _NOT_HTTP),
    (http_exceptions.HttpProcessingError, _NOT_HTTP),
    (httpx.RemoteProtocolError, _NOT_HTTP),
    (httpx.DecodingError, _NOT_HTTP),
    (
        aiohttp.ClientPayloadError,
        ApiError(Reason.CONNECT, "the connection closed before the full response was received"),
    ),
    (
        aiohttp.ServerDisconnectedError,
        ApiError(Reason.CONNECT, "the server closed the connection before it responded"),
    ),
)


def as_api_error(error: Exception) -> ApiError:
    """The reason and message for one of LIBRARY_ERRORS.

    Classified by cause: exceptions of one type can have very different causes.
    """
    causes = list(_causes(error))
    return _tls_error(causes) or _connect_error(causes) or _connection_error(causes)


def _tls_error(causes: list[BaseException]) -> ApiError | None:
    """A TLS error. OpenSSL's fixed text is used; the only name in it is the requested host's."""
    for cause in reversed(causes):
        # With getattr: exceptions that libraries create themselves lack these attributes.
        if isinstance(cause, ssl.SSLCertVerificationError):
            said = getattr(cause, "verify_message", None)
            message = "the server's certificate is not trusted"
        elif isinstance(cause, ssl.SSLError):
            said = getattr(cause, "reason", None)
            message = "the TLS connection failed"
        else:
            continue
        return ApiError(Reason.TLS, f"{message}: {said}" if said else message)
    return None


def _connect_error(causes: list[BaseException]) -> ApiError | None:
    """Why no connection was made; None if there was one."""
    number = _error_number(causes)
    why = "" if number is None else f": {os.strerror(number)}"
    if number in _LOCAL_ERRORS:
        return ApiError(Reason.INTERNAL, f"this machine could not open a connection{why}")
    error = causes[0]
    if isinstance(error, aiohttp.ClientHttpProxyError):
        message = f"the proxy refused to connect to the API: HTTP {error.status}"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        said = error.os_error.strerror if isinstance(error.os_error, socket.gaierror) else None
        message = f"the name {error.host} could not be resolved" + (f": {said}" if said else why)
    elif isinstance(error, aiohttp.ClientConnectorError):
        proxy = "the proxy " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
        message = f"no connection to {proxy}{error.host}:{error.port}{why}"
    else:
        return None
    return ApiError(Reason.CONNECT, message)


def _connection_error(causes: list[BaseException]) -> ApiError:
    error, source = causes[0], causes[-1]
    if isinstance(source, http_exceptions.HttpProcessingError) and (
        isinstance(source, http_exceptions.LineTooLong) or source.message == _TOO_MANY_HEADERS
    ):
        return _HEAD_TOO_LARGE
    if isinstance(source, http_exceptions.ContentLengthError):
        return _BODY_TRUNCATED
    for kind, api_error in _CONNECTION_ERRORS:
        if isinstance(error, kind):
            return api_error
    if isinstance(source, httpx.TimeoutException | aiohttp.ServerTimeoutError):
        return ApiError(Reason.TIMEOUT, "no response in time")
    number = _error_number(causes)
    why = f" ({type(error).__name__})" if number is None else f": {os.strerror(number)}"
    return ApiError(Reason.CONNECT, f"the connection failed{why}")


def _error_number(causes: list[BaseException]) -> int | None:
    """The operating system's error number. gaierror is skipped: its numbers mean something else."""
    for cause in causes:
        if isinstance(cause, OSError) and not isinstance(cause, socket.gaierror) and cause.errno:
            return cause.errno
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
