"""Requests that violate HTTP/1.1, over a real socket, get the statuses of Prometheus 3.5 (Go).

Two differ: there a request without a version gets 400, and an unknown method depends on the route.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.guarded import USERS, Site, guarded
from tests.web.raw import raw
from tests.web.test_hostile import run_app

VERSIONS = [b"HTTP/2.0", b"HTTP/0.9"]
CODING = b"Transfer-Encoding: "


def request(
    line: bytes = b"GET /-/healthy HTTP/1.1", host: bytes | None = b"x", *fields: bytes
) -> bytes:
    """The bytes of a request with `Connection: close`."""
    hosts = [] if host is None else [b"Host: " + host]
    return b"\r\n".join([line, *hosts, *fields, b"Connection: close", b"", b""])


async def answer(said: bytes) -> bytes:
    """All that the server sends in response until it closes the connection."""
    async with run_app() as address, raw(address) as connection:
        connection.send(said)
        return await connection.rest()


def assert_refused(received: bytes, status: bytes) -> None:
    """Assert that exactly one HTTP/1.0 response with this status was received."""
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 " + status + b"\r\n")
    assert b"\r\nServer: flashback-exporter\r\n" in head
    assert body == status[4:] + b"\n"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("line", [b"GET /-/healthy ", b"GET /nowhere ", b"POST /-/reload "])
async def test_other_versions_are_not_spoken(line: bytes, version: bytes) -> None:
    """Other HTTP versions get 505 in an HTTP/1.0 response, not in their own version."""
    received = await answer(request(line + version))
    assert_refused(received, b"505 HTTP Version Not Supported")


async def test_a_request_without_a_version_is_refused() -> None:
    """A request without a version, which is HTTP/0.9, gets 505."""
    assert_refused(await answer(b"GET /metrics\r\n\r\n"), b"505 HTTP Version Not Supported")


@pytest.mark.parametrize(
    "said",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
        request(b"PRI / HTTP/2.0"),
    ],
)
async def test_the_preface_of_http_2_is_refused(said: bytes) -> None:
    """The HTTP/2 preface gets 400, as from Go without HTTP/2."""
    assert_refused(await answer(said), b"400 Bad Request")


@pytest.mark.parametrize("byte", b'/ "@#?\\<>^`{|}\t\x01\x7f\xe9')
@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"GET http://x/ HTTP/1.1"])
async def test_a_host_that_is_none_is_refused(byte: int, line: bytes) -> None:
    """A Host header with an invalid byte gets 400, whatever the version and the target."""
    assert_refused(await answer(request(line, b"a%cb" % byte)), b"400 Bad Request")


@pytest.mark.parametrize(
    "said",
    [
        request(host=None),
        request(b"GET /-/healthy HTTP/1.1", b"x", b"Host: y"),
        request(b"GET /-/healthy HTTP/1.0", b"x", b"Host: x"),
    ],
)
async def test_there_is_one_host(said: bytes) -> None:
    """HTTP/1.1 without a Host header gets 400, and so do several Host headers."""
    assert_refused(await answer(said), b"400 Bad Request")


@pytest.mark.parametrize(
    "host",
    [b"", b"x:80", b"[::1]:9", b"[fe80::1%25eth0]", b"a_b", b"a,b", b"a!$&'()*+;=~-.%b", b":80"],
)
async def test_any_host_that_may_be_one_is_served(host: bytes) -> None:
    """Every host that RFC 3986 allows is served, even an empty one."""
    assert (await answer(request(host=host))).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_http_1_0_needs_no_host() -> None:
    """HTTP/1.0 without a Host header is served, as health checks of load balancers need it."""
    received = await answer(request(b"GET /-/healthy HTTP/1.0", None))
    assert received.startswith(b"HTTP/1.0 200 OK\r\n")


@pytest.mark.parametrize(
    "coding",
    [b"foo", b"identity", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"", b"gzip"],
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_unknown_transfer_codings_are_not_implemented(coding: bytes, method: bytes) -> None:
    """Every transfer coding except `chunked` gets 501."""
    said = request(method + b" /-/healthy HTTP/1.1", b"x", CODING + coding)
    assert_refused(await answer(said), b"501 Not Implemented")


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked"])
async def test_chunked_requests_are_served(coding: bytes) -> None:
    """Chunked requests are served, whether the coding is in upper or lower case."""
    said = request(b"GET /-/healthy HTTP/1.1", b"x", CODING + coding)
    assert (await answer(said + b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_both_framings_are_a_bad_request() -> None:
    """A length together with a transfer coding, used for request smuggling, gets 400."""
    said = request(b"GET / HTTP/1.1", b"x", b"Content-Length: 5", CODING + b"chunked")
    assert_refused(await answer(said + b"0\r\n\r\n"), b"400 Bad Request")


@pytest.mark.parametrize(
    ("method", "line"),
    [
        (b"FOO", b"HTTP/1.0 400 Bad Request"),
        (b"get", b"HTTP/1.0 400 Bad Request"),
        (b"PROPFIND", b"HTTP/1.1 405 Method Not Allowed"),
        (b"TRACE", b"HTTP/1.1 405 Method Not Allowed"),
    ],
)
async def test_methods(method: bytes, line: bytes) -> None:
    """A method that aiohttp's parser does not know gets 400, and any other unsupported one 405."""
    received = await answer(request(method + b" /-/healthy HTTP/1.1"))
    assert received.startswith(line + b"\r\n")


async def test_requests_before_a_refused_one_are_answered() -> None:
    """Requests before a refused one get responses, and the refused one ends the connection."""
    good = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
    received = await answer(good + request(host=b"a/b"))
    served, _, refused = received.partition(b"HTTP/1.0 ")
    assert served.startswith(b"HTTP/1.1 200 OK\r\n")
    assert served.count(b"HTTP/1.1") == 1
    assert_refused(b"HTTP/1.0 " + refused, b"400 Bad Request")


async def test_what_is_no_http_needs_no_password(tmp_path: Path) -> None:
    """An invalid request gets 400 before authentication."""
    async with guarded(Site(tmp_path, USERS).security()) as address, raw(address) as connection:
        connection.send(request(host=b"a/b"))
        assert_refused(await connection.rest(), b"400 Bad Request")
