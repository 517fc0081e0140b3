"""HTTP over real sockets."""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx
import pytest
import trustme

from exporter.model import Reason
from exporter.upstream.transport import RawResponse, RequestFailed, Transport, connections

LIMIT = 1000


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP response as raw bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Server:
    """A server with the same response to every request; records connections and requests."""

    def __init__(self, answer: bytes, *, then_close: bool) -> None:
        self.answer = answer
        self.then_close = then_close
        self.url = ""
        self.connections = 0
        self.requests: list[bytes] = []
        self.open = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.idle.clear()
        try:
            while True:
                self.requests.append(await reader.readuntil(b"{}"))
                writer.write(self.answer)
                await writer.drain()
                if self.then_close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.open -= 1
            if not self.open:
                self.idle.set()


@asynccontextmanager
async def raw_server(
    answer: bytes, *, then_close: bool = True, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Run the server on a free loopback port."""
    served = Server(answer, then_close=then_close)
    async with await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls) as listening:
        port = listening.sockets[0].getsockname()[1]
        served.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/"
        yield served
        async with asyncio.timeout(10):
            await served.idle.wait()


def request(url: str) -> httpx.Request:
    """A request as the exporter's client sends it."""
    return httpx.Request("POST", url, content=b"{}", headers={"Accept-Encoding": "gzip"})


async def ask(url: str) -> RawResponse:
    """Send one request over the real connections, with a timeout."""
    transport = real_transport()
    try:
        async with asyncio.timeout(20):
            return await transport.send(request(url), LIMIT)
    finally:
        await transport.aclose()


def real_transport() -> Transport:
    """A transport that uses the exporter's own connections."""
    return Transport(connections(4, ssl.create_default_context()))


async def refusal(url: str) -> RequestFailed:
    """The error with which a request fails."""
    with pytest.raises(RequestFailed) as caught:
        await ask(url)
    assert caught.value.api_error.message == str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def free_port() -> int:
    """A port without a listener."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


@pytest.mark.parametrize("status", ["200 OK", "301 Moved", "429 Slow down", "500 Oops"])
async def test_any_status_is_an_answer(status: str) -> None:
    """A response with any status has its Retry-After and body; redirects are not followed."""
    headers = ("Retry-After: 7", "Location: /elsewhere")
    async with raw_server(http(b"body", *headers, status=status)) as server:
        assert await ask(server.url) == RawResponse(int(status[:3]), "7", b"body")
    assert len(server.requests) == 1


def headers(count: int, size: int) -> list[str]:
    """`count` headers of `size` bytes each."""
    return [f"X-Gateway-{number:04}: ".ljust(size - 2, "x") for number in range(count)]


KIB = 1024

LARGE_HEADS = [headers(300, 218), headers(2, 32 * KIB), headers(1, 64 * KIB)]


@pytest.mark.parametrize("lines", LARGE_HEADS, ids=["300", "2 of 32 KiB", "1 of 64 KiB"])
@pytest.mark.parametrize("then_close", [True, False])
async def test_heads_of_gateways_are_read(lines: list[str], *, then_close: bool) -> None:
    """Responses with 300 headers, or with headers of 32 or 64 KiB, are accepted."""
    async with raw_server(http(b"body", *lines), then_close=then_close) as server:
        transport = real_transport()
        for _ in range(3):
            assert (await transport.send(request(server.url), LIMIT)).body == b"body"
        await transport.aclose()
    assert server.connections == (3 if then_close else 1)


@pytest.mark.parametrize(
    "lines",
    [headers(500, 20), headers(350, KIB), headers(1, 100 * KIB)],
    ids=["too many", "too large in all", "too large in one"],
)
async def test_heads_have_a_limit(lines: list[str]) -> None:
    """A response with too many or too long headers is malformed, and the error says so."""
    async with raw_server(http(b"body", *lines)) as server:
        failed = await refusal(server.url)
    assert failed.api_error.reason is Reason.MALFORMED
    assert "too many or too long headers" in failed.api_error.message


async def test_large_answer_on_a_kept_connection_is_no_large_head() -> None:
    """The limit on headers does not count bytes of the body or of earlier responses."""
    answers = http(b"x" * 900 * KIB)
    async with raw_server(answers, then_close=False) as server:
        transport = real_transport()
        for _ in range(5):
            assert len((await transport.send(request(server.url), 2**20)).body) == 900 * KIB
        await transport.aclose()
    assert server.connections == 1


async def test_connections_are_kept_and_shared() -> None:
    """Sequential requests share one connection, and cookies are not sent back."""
    answer = http(b"{}", "Set-Cookie: a=b")
    async with raw_server(answer, then_close=False) as server:
        transport = real_transport()
        for _ in range(10):
            await transport.send(request(server.url), LIMIT)
        await transport.aclose()
    assert server.connections == 1
    assert b"cookie" not in b"".join(server.requests).lower()


async def test_nothing_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables of the environment are ignored."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with raw_server(http(b"body")) as server:
        assert (await ask(server.url)).body == b"body"


async def test_refused_connection() -> None:
    """A refused connection has the reason connect."""
    assert (await refusal(f"http://127.0.0.1:{free_port()}/")).api_error.reason is Reason.CONNECT


async def test_unknown_name() -> None:
    """A name that does not resolve has the reason connect."""
    assert (await refusal("http://no-such-host.invalid/")).api_error.reason is Reason.CONNECT


@pytest.mark.parametrize(
    ("sent", "reason", "status"),
    [
        (b"", Reason.CONNECT, None),
        (b"HTTP/1.1 200 OK\r\nContent-", Reason.CONNECT, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Reason.CONNECT, 200),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
            Reason.CONNECT,
            200,
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Reason.MALFORMED, None),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n", Reason.MALFORMED, None),
    ],
    ids=["silent", "in headers", "in body", "in chunks", "not HTTP", "endless header"],
)
async def test_broken_responses(sent: bytes, reason: Reason, status: int | None) -> None:
    """A connection that closes early has the reason connect, one without HTTP malformed."""
    async with raw_server(sent) as server:
        failed = await refusal(server.url)
    assert failed.api_error.reason is reason
    assert failed.status == status


async def test_untrusted_certificate() -> None:
    """An untrusted certificate has the reason tls."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with raw_server(http(b"body"), tls=context) as server:
        failed = await refusal(server.url)
    assert failed.api_error.reason is Reason.TLS
    assert "certificate" in failed.api_error.message.lower()


async def test_server_without_tls() -> None:
    """A server that does not speak TLS has the reason tls."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(http(b"", status="400 Bad Request"))
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        failed = await refusal(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert failed.api_error.reason is Reason.TLS


GZIPPED = gzip.compress(b"x" * 500)


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (GZIPPED, "Content-Encoding: gzip"),
        (GZIPPED, "Content-Encoding: X-GZIP"),
        (zlib.compress(b"x" * 500), "Content-Encoding: deflate"),
        (b"x" * 500, "Content-Encoding: identity"),
    ],
    ids=["gzip", "x-gzip", "deflate", "identity"],
)
async def test_compressed_bodies_are_decompressed(body: bytes, header: str) -> None:
    """Each supported Content-Encoding is decoded."""
    async with raw_server(http(body, header)) as server:
        assert (await ask(server.url)).body == b"x" * 500


@pytest.mark.parametrize(
    ("body", "header", "reason"),
    [
        (b"x" * (LIMIT + 1), "X: plain", Reason.TOO_LARGE),
        (gzip.compress(b"x" * (LIMIT + 1)), "Content-Encoding: gzip", Reason.TOO_LARGE),
        (gzip.compress(b"\0" * 50_000_000), "Content-Encoding: gzip", Reason.TOO_LARGE),
        (GZIPPED * 3, "Content-Encoding: gzip", Reason.TOO_LARGE),
        (GZIPPED[:-9], "Content-Encoding: gzip", Reason.CONNECT),
        (b"no gzip at all", "Content-Encoding: gzip", Reason.MALFORMED),
        (b"x", "Content-Encoding: br", Reason.MALFORMED),
    ],
    ids=["plain", "small bomb", "bomb", "members", "cut gzip", "broken gzip", "unknown encoding"],
)
async def test_bodies_that_are_refused(body: bytes, header: str, reason: Reason) -> None:
    """A body that is too large, also after decompression, or wrongly encoded is rejected."""
    async with raw_server(http(body, header)) as server:
        failed = await refusal(server.url)
    assert failed.api_error.reason is reason
    assert failed.status == 200


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        (GZIPPED[:-9], Reason.CONNECT, "the compressed response body is truncated"),
        (GZIPPED + GZIPPED[:9], Reason.CONNECT, "the compressed response body is truncated"),
        (GZIPPED + GZIPPED[:1], Reason.CONNECT, "the compressed response body is truncated"),
        (GZIPPED + b"\n", Reason.MALFORMED, "data after the end of its compressed body"),
        (GZIPPED + b"{}" * 9, Reason.MALFORMED, "has data after the end of its compressed body"),
        (GZIPPED[:-8] + bytes(4) + GZIPPED[-4:], Reason.MALFORMED, "not match its checksum"),
        (
            GZIPPED[:-4] + bytes(4),
            Reason.MALFORMED,
            "compressed response body does not match its length",
        ),
        (b"{}", Reason.MALFORMED, "not compressed as its Content-Encoding says"),
        (GZIPPED[:10] + b"\xff" * 9, Reason.MALFORMED, "the compressed response body is invalid"),
    ],
    ids=[
        *("cut", "second member cut", "second member cut at once"),
        *("line feed behind", "text behind", "checksum", "length", "plain", "noise"),
    ],
)
@pytest.mark.parametrize("apart", [True, False])
async def test_gzip_that_ends_wrong_is_said_as_such(
    body: bytes, reason: Reason, message: str, *, apart: bool
) -> None:
    """The error for a gzip body says if it is truncated, corrupt or has extra data at its end."""
    chunks = [body[number : number + 1] for number in range(len(body))] if apart else [body]
    headers = {"Content-Encoding": "gzip"}
    http = httpx.MockTransport(
        lambda _: httpx.Response(200, headers=headers, stream=Endless(chunks))
    )
    with pytest.raises(RequestFailed) as caught:
        await Transport(http).send(request("http://x/"), LIMIT)
    assert caught.value.api_error.reason is reason
    assert message in caught.value.api_error.message


async def test_length_that_is_wrong_is_said_as_such() -> None:
    """The error says if a body is shorter or longer than its Content-Length."""
    answer = http(b"12345678")
    async with raw_server(answer.replace(b"Length: 8", b"Length: 9")) as server:
        failed = await refusal(server.url)
    assert failed.api_error.reason is Reason.CONNECT
    assert "closed before the full Content-Length was received" in failed.api_error.message
    async with raw_server(answer.replace(b"Length: 8", b"Length: 7")) as server:
        failed = await refusal(server.url)
    assert failed.api_error.reason is Reason.MALFORMED
    assert "length or chunks are malformed" in failed.api_error.message


async def test_body_at_the_limit_is_whole() -> None:
    """A body of exactly max_response_bytes is accepted."""
    for body, header in (
        (b"x" * LIMIT, "X: y"),
        (gzip.compress(b"x" * LIMIT), "Content-Encoding: gzip"),
    ):
        async with raw_server(http(body, header)) as server:
            assert (await ask(server.url)).body == b"x" * LIMIT


class Endless(httpx.AsyncByteStream):
    """A body of many chunks, which counts the bytes that were read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = chunks
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.taken += len(chunk)
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_body_is_never_read_past_its_limit(encoding: str) -> None:
    """Reading stops at the chunk that exceeds the limit, even if it decompresses to nothing."""
    empty_blocks = zlib.compressobj(wbits=31)
    chunk = empty_blocks.compress(b"") + empty_blocks.flush(zlib.Z_FULL_FLUSH)
    nothing = [chunk, *[b"\0\0\0\xff\xff"] * 1000]
    body = Endless(nothing if encoding == "gzip" else [b"x" * 100] * 1000)

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": encoding}, stream=body)

    with pytest.raises(RequestFailed) as caught:
        await Transport(httpx.MockTransport(answer)).send(request("http://x/"), LIMIT)
    assert caught.value.api_error.reason is Reason.TOO_LARGE
    assert body.taken <= LIMIT + 100
    assert body.closed


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS])
async def test_this_machines_own_limits_are_internal(number: int) -> None:
    """Running out of file descriptors has the reason internal, not connect."""

    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no socket") from OSError(number, "too many")

    with pytest.raises(RequestFailed) as caught:
        await Transport(httpx.MockTransport(answer)).send(request("http://x/"), LIMIT)
    assert caught.value.api_error.reason is Reason.INTERNAL


async def test_deadline_is_the_callers_and_closes_the_connection() -> None:
    """When the caller's timeout ends a slow response, its connection is closed."""
    gone = asyncio.Event()

    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            gone.set()
        finally:
            writer.close()

    transport = real_transport()
    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await transport.send(request(url), 10_000_000)
        async with asyncio.timeout(10):
            await gone.wait()
        await transport.aclose()
