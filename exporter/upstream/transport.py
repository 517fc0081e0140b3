"""How HTTP is spoken to an API: connections, redirects refused, bytes limited, errors named.

One request in, one complete answer out, or `Unanswered`. What an answer means, when to ask again
and how long to wait are not decided here. Every network library's error ends in this module.
"""

from __future__ import annotations

import errno
import ssl
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from exporter.model import Fault, Reason
from exporter.upstream.parsing import printable_line

if TYPE_CHECKING:
    from collections.abc import Iterator

KEEPALIVE_SECONDS = 90.0
"""Longer than the usual poll interval, so that a handful of buckets share a warm connection."""

ACCEPT_ENCODING = "gzip"

_OUR_OWN = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}
"""What the operating system says when it is this machine that cannot make a connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer, the body decompressed."""

    status: int
    retry_after: str | None
    body: bytes


class Unanswered(Exception):  # noqa: N818 - it names what happened, and is no bug
    """A request got no usable HTTP answer."""

    def __init__(self, fault: Fault, status: int | None = None) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.status = status  # where at least that much arrived


class Transport:
    """Speaks through any httpx transport: aiohttp's connections, or a test's own answers.

    `server_name` is the name that a TLS server must prove, where it is not the URL's.
    """

    def __init__(self, http: httpx.AsyncBaseTransport, server_name: str | None = None) -> None:
        self._http = http
        self._server_name = server_name

    async def send(self, request: httpx.Request, max_bytes: int) -> Answer:
        """The answer, whatever its status; a redirect is an answer. Raises Unanswered.

        Waits for as long as the caller lets it: the deadline is the caller's.
        """
        if self._server_name is not None:
            request.extensions["sni_hostname"] = self._server_name
        response: httpx.Response | None = None
        try:
            response = await self._http.handle_async_request(request)
            return Answer(
                response.status_code,
                response.headers.get("retry-after"),
                await self._body(response, max_bytes),
            )
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            # aiohttp's own where the answer was not HTTP: its httpx transport lets that through.
            status = None if response is None else response.status_code
            raise Unanswered(_fault(error), status) from error
        finally:
            if response is not None:
                await response.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @staticmethod
    async def _body(response: httpx.Response, max_bytes: int) -> bytes:
        body = _Body(response, max_bytes)
        if not isinstance(response.stream, httpx.AsyncByteStream):
            raise TypeError("the transport's answer is no asynchronous stream")
        async for chunk in response.stream:
            body.take(chunk)
        return body.whole()


class _Body:
    """A body while it is read, never past its limit, neither as sent nor decompressed."""

    def __init__(self, response: httpx.Response, limit: int) -> None:
        self._status = response.status_code
        self._limit = limit
        self._received = 0
        self._body = bytearray()
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
            shown = printable_line(encoding)
            raise self._refused(
                Reason.MALFORMED, f"the answer has an encoding not asked for: {shown}"
            )
        compressed = encoding not in {"identity", ""}
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32) if compressed else None

    def take(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received > self._limit:
            raise self._too_large()
        if self._inflater is None:
            self._body += chunk
            return
        try:
            # A byte more than allowed is enough to know: a bomb is met while it is small.
            self._body += self._inflater.decompress(chunk, self._limit + 1 - len(self._body))
        except zlib.error as error:
            raise self._refused(Reason.MALFORMED, "the answer's compression is broken") from error
        if len(self._body) > self._limit:
            raise self._too_large()

    def whole(self) -> bytes:
        if self._inflater is not None and self._received and not self._inflater.eof:
            raise self._refused(Reason.CONNECT, "the answer ended before its compressed body did")
        return bytes(self._body)

    def _too_large(self) -> Unanswered:
        message = f"the answer is larger than max_response_bytes ({self._limit})"
        return self._refused(Reason.TOO_LARGE, message)

    def _refused(self, reason: Reason, message: str) -> Unanswered:
        return Unanswered(Fault(reason, message), self._status)


def connections(
    limit: int, context: ssl.SSLContext, proxy_url: str | None = None
) -> httpx.AsyncBaseTransport:
    """An httpx transport over aiohttp's connection pool, of at most `limit` connections.

    Nothing of the environment is used: no proxy, no netrc, no cookies. It opens nothing before the
    first request.
    """

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limit, ssl=context, keepalive_timeout=KEEPALIVE_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    proxy = None if proxy_url is None else _proxy(proxy_url)
    return AiohttpTransport(client=session, verify=context, proxy=proxy)


def _proxy(url: str) -> httpx.Proxy:
    """The proxy, its password already in a header: aiohttp no longer wants it apart."""
    proxy = httpx.Proxy(url)
    if proxy.raw_auth is None:
        return proxy
    user, password = (part.decode() for part in proxy.raw_auth)
    headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}  # moved by aiohttp
    return httpx.Proxy(proxy.url, headers=headers)


def _fault(error: Exception) -> Fault:
    reason = _reason(error)
    said = printable_line(str(error)) or type(error).__name__
    return Fault(reason, said)


def _reason(error: Exception) -> Reason:
    """What happened, told by the causes: the httpx transport calls most of it ConnectTimeout."""
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Reason.TLS
    if any(isinstance(cause, OSError) and cause.errno in _OUR_OWN for cause in causes):
        return Reason.INTERNAL
    if isinstance(
        error, aiohttp.ClientResponseError | httpx.RemoteProtocolError | httpx.DecodingError
    ):
        return Reason.MALFORMED
    source = causes[-1] if len(causes) > 1 else error
    if isinstance(source, httpx.TimeoutException | aiohttp.ServerTimeoutError):
        return Reason.TIMEOUT
    return Reason.CONNECT


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
