"""Speaks HTTP: aiohttp's connections behind httpx's transport interface.

No redirects. `send` returns a complete response or raises RequestFailed. Retries, deadlines and the
meaning of a response belong elsewhere. A body is limited both as received and decompressed: neither
httpx nor aiohttp limits a compressed body while decompressing it.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from io import BytesIO
from typing import NamedTuple, TypeAlias

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

from exporter.model import ApiError, Reason
from exporter.upstream.connections import (
    FRESH_WANTED,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    Pool,
    Resolver,
)
from exporter.upstream.library_errors import LIBRARY_ERRORS, as_api_error
from exporter.upstream.server_info import ResponseHead

STEP = 2**20
"""Bytes to decompress at a time: about 3 ms."""


class RefusedBody(Exception):  # noqa: N818 - named after what happened
    """A body cannot be used; `api_error` says why."""

    def __init__(self, api_error: ApiError) -> None:
        super().__init__(api_error.message)
        self.api_error = api_error


class Body:
    """Collects the chunks of a body and decompresses them. Raises RefusedBody."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._received = 0
        self._body = BytesIO()  # can return its bytes without copying them
        encoding = encoding.strip().lower()
        if encoding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
            raise _refused(Reason.MALFORMED, "the response has an unsupported Content-Encoding")
        compressed = encoding not in {"identity", ""}
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32) if compressed else None

    def take(self, chunk: bytes) -> Iterator[None]:
        """Add a chunk as received. Yields after each step of decompression.

        A small chunk can become a thousand times larger, so callers let other tasks run between
        steps.
        """
        self._received += len(chunk)
        if self._received > self._limit:
            raise self._too_large()
        if self._inflater is None:
            self._body.write(chunk)
            return
        more = True
        while more:
            if self._inflater.eof and chunk:
                self._inflater = _next_member(chunk)
            chunk, more = self._inflate(self._inflater, chunk)
            yield

    def whole(self) -> bytes:
        """The complete body, decompressed; called after the last chunk."""
        if self._inflater is not None and self._received and not self._inflater.eof:
            raise _refused(Reason.CONNECT, "the compressed response body is truncated")
        return self._body.getvalue()

    def _inflate(self, inflater: zlib._Decompress, chunk: bytes) -> tuple[bytes, bool]:
        """Decompress one step of a chunk; returns the rest of it, and whether to continue."""
        # One byte over the limit proves that the body is too large, at little cost of memory.
        most = min(STEP, self._limit + 1 - self._body.tell())
        try:
            inflated = inflater.decompress(chunk, most)
        except zlib.error as error:
            raise _refused(Reason.MALFORMED, _broken_compression(error)) from None
        self._body.write(inflated)
        if self._body.tell() > self._limit:
            raise self._too_large()
        if inflater.eof:
            return inflater.unused_data, bool(inflater.unused_data)
        left = inflater.unconsumed_tail
        return left, bool(left) or len(inflated) == most

    def _too_large(self) -> RefusedBody:
        message = f"the response is larger than max_response_bytes ({self._limit})"
        return _refused(Reason.TOO_LARGE, message)


def _next_member(chunk: bytes) -> zlib._Decompress:
    """A decompressor for the next member of a gzip file, which may have several."""
    if not chunk.startswith(_GZIP):
        message = "the response has data after the end of its compressed body"
        raise _refused(Reason.MALFORMED, message)
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


_GZIP = b"\x1f"
"""The first byte of each member."""

_BROKEN_COMPRESSION = {
    "header check": "the response body is not compressed as its Content-Encoding says",
    "data check": "the compressed response body does not match its checksum",
    "length check": "the compressed response body does not match its length",
}
"""The keys are zlib's fixed texts."""


def _broken_compression(error: zlib.error) -> str:
    known = (ours for words, ours in _BROKEN_COMPRESSION.items() if words in str(error))
    return next(known, "the compressed response body is invalid")


def _refused(reason: Reason, message: str) -> RefusedBody:
    return RefusedBody(ApiError(reason, message))


KEEPALIVE_SECONDS = 90.0
"""Longer than the default poll interval, so that polls reuse connections."""

ACCEPT_ENCODING = "gzip"

URLS_KEPT = 20_000
"""Parsed URLs to cache, one per bucket: parsing is a large part of making a request."""

FRESH_CONNECTION = "fresh_connection"
"""A request extension: true if the request must not use an idle connection."""

CERTIFICATE_EXPIRY = "certificate_expiry"
"""A response extension: when the API's certificate expires, Unix time, or None."""

_SET_BY_AIOHTTP = frozenset({"host", "content-length"})

_HEADERS_READ = frozenset({b"retry-after", b"content-encoding", b"date", b"age"})


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A complete HTTP response, its body decompressed."""

    status: int
    retry_after: str | None
    body: bytes = field(repr=False)  # a list response contains access keys


class RequestFailed(Exception):  # noqa: N818 - named after what happened
    """A request got no usable HTTP response."""

    def __init__(self, api_error: ApiError, status: int | None = None) -> None:
        super().__init__(api_error.message)
        self.api_error = api_error
        self.status = status  # None: no head was received


class Transport:
    """Sends requests through any httpx transport: the real connections, or a test's.

    `server_name` is the name that the server's certificate must have, if it is not the URL's.
    """

    def __init__(self, http: httpx.AsyncBaseTransport, server_name: str | None = None) -> None:
        self._http = http
        self._server_name = server_name

    async def send(
        self,
        request: httpx.Request,
        max_bytes: int,
        on_head: Callable[[ResponseHead], None] = lambda _: None,
    ) -> RawResponse:
        """Send a request and return the response, whatever its status. Raises RequestFailed.

        There is no timeout here: the caller sets one. `on_head` is called when the head has
        arrived, even if the body then fails.
        """
        if self._server_name is not None:
            request.extensions["sni_hostname"] = self._server_name
        status: int | None = None
        try:
            response = await self._http.handle_async_request(request)
            status = response.status_code
            headers = _headers(response)
            expiry = response.extensions.get(CERTIFICATE_EXPIRY)
            on_head(ResponseHead(headers.get(b"date"), headers.get(b"age"), expiry))
            body = await _body(response, headers.get(b"content-encoding", ""), max_bytes)
            return RawResponse(status, headers.get(b"retry-after") or None, body)
        # From None: a traceback would show the library's exception, which may quote received data.
        except RefusedBody as error:
            raise RequestFailed(error.api_error, status) from None
        except LIBRARY_ERRORS as error:
            raise RequestFailed(as_api_error(error), status) from None

    async def aclose(self) -> None:
        await self._http.aclose()


async def _body(response: httpx.Response, encoding: str, max_bytes: int) -> bytes:
    """Read and decompress the body, and close the stream in any case."""
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("the transport's response is not an asynchronous stream")
    try:
        body = Body(encoding, max_bytes)
        async for chunk in stream:
            for _ in body.take(chunk):
                await asyncio.sleep(0)  # let other tasks run
        return body.whole()
    finally:
        await stream.aclose()


def _headers(response: httpx.Response) -> dict[bytes, str]:
    """The headers that are needed. Repeated ones are joined as httpx does, at half the cost."""
    found: dict[bytes, str] = {}
    for key, value in response.headers.raw:
        name = key.lower()
        if name in _HEADERS_READ:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found


Connect: TypeAlias = Callable[[int, ssl.SSLContext, str | None], httpx.AsyncBaseTransport]
"""Makes the connections of an account from a limit, a TLS context and a proxy URL."""


def connector() -> Connect:
    """Makes real connections. All accounts share one resolver."""
    return partial(connections, resolver=Resolver())


def connections(
    limit: int,
    context: ssl.SSLContext,
    proxy_url: str | None = None,
    resolver: Resolver | None = None,
) -> httpx.AsyncBaseTransport:
    """An httpx transport with a pool of at most `limit` connections.

    Ignores the environment: no proxy variables, no netrc. Stores no cookies. Connects only when the
    first request is sent.
    """
    resolver = resolver or Resolver()

    def pool() -> Pool:
        return Pool(
            limit=limit, ssl=context, keepalive_timeout=KEEPALIVE_SECONDS, resolver=resolver
        )

    return _Connections(pool, None if proxy_url is None else _proxy(proxy_url))


def _session(pool: Pool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=pool,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(),
        max_line_size=MAX_HEAD_BYTES,
        max_field_size=MAX_HEAD_BYTES,
        max_headers=MAX_HEADERS,
    )


class _Connections(httpx.AsyncBaseTransport):
    """httpx's transport interface over an aiohttp session, with less overhead than httpx_aiohttp.

    aiohttp's exceptions are not translated. URLs and headers are cached.
    """

    def __init__(self, pool: Callable[[], Pool], proxy: _Proxy | None) -> None:
        self._make_pool = pool
        self._open: _Open | None = None  # created in the event loop, by the first request
        self._proxy = _Proxy(None, None) if proxy is None else proxy
        self._url = lru_cache(maxsize=URLS_KEPT)(URL)
        self._headers = lru_cache(maxsize=1)(_aiohttp_headers)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; does not read the body of the response. Raises LIBRARY_ERRORS."""
        if self._open is None:
            pool = self._make_pool()
            self._open = _Open(pool, _session(pool))
        outer = FRESH_WANTED.set(request.extensions.get(FRESH_CONNECTION, False))
        try:
            response = await self._open.session.request(
                request.method,
                self._url(str(request.url)),
                headers=self._headers(tuple(request.headers.raw)),
                data=request.read() or None,
                allow_redirects=False,
                server_hostname=request.extensions.get("sni_hostname"),
                proxy=self._proxy.url,
                proxy_headers=self._proxy.headers,
            )
        finally:
            FRESH_WANTED.reset(outer)
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=_BodyStream(response),
            extensions={CERTIFICATE_EXPIRY: self._open.pool.certificate_expiry},
        )

    async def aclose(self) -> None:
        if self._open is not None:
            await self._open.session.close()


class _Open(NamedTuple):
    pool: Pool
    session: aiohttp.ClientSession


class _BodyStream(httpx.AsyncByteStream):
    """A body as it is received, not decompressed."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._response.content.readany():
            yield chunk

    async def aclose(self) -> None:
        """Return the connection to the pool, or close it if the body was not read to its end."""
        self._response.release()
        await self._response.wait_for_close()


def _aiohttp_headers(raw: tuple[tuple[bytes, bytes], ...]) -> CIMultiDict[str]:
    """The request's headers for aiohttp, without Host and Content-Length, which aiohttp sets.

    Cached: all polls with the same token have the same headers.
    """
    decoded = ((name.decode("ascii"), value.decode("latin-1")) for name, value in raw)
    return CIMultiDict(each for each in decoded if each[0].lower() not in _SET_BY_AIOHTTP)


class _Proxy(NamedTuple):
    url: str | None
    headers: Mapping[str, str] | None


def _proxy(url: str) -> _Proxy:
    """The proxy, with its password in a header: aiohttp has deprecated the argument for it."""
    proxy = httpx.Proxy(url)
    if proxy.raw_auth is None:
        return _Proxy(str(proxy.url), proxy.headers)
    user, password = (part.decode() for part in proxy.raw_auth)
    # aiohttp moves it to Proxy-Authorization.
    headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}
    return _Proxy(str(proxy.url), headers)
