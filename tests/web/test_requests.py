"""Random requests over a real socket: never a 500, never a secret."""

from __future__ import annotations

import asyncio
import gzip
import re
import string
from base64 import b64encode
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.web.metrics_handler import OPENMETRICS_TYPE, TEXT_TYPE
from exporter.web.server import ListenAddress, Timeouts
from tests.web.guarded import HASH, PASSWORD, USERS, Site, guarded
from tests.web.raw import DEADLINE, raw
from tests.web.test_app import ENDPOINTS

PATHS = ("/metrics", "/", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/status", "*", "//", "")
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI")
NAMES = (
    *("Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Length", "Cookie"),
    *("Expect", "Host", "If-None-Match", "Range", "Trailer", "Transfer-Encoding", "Upgrade"),
    *("Content-Encoding", "Content-Type", "X-Forwarded-For", "Sec-WebSocket-Key"),
)
VALUES = (
    *("gzip", "gzip;q=0", "*", "identity;q=0", "br;q=1.0, *;q=0.1", "chunked", "close", "5"),
    *("100-continue", "websocket", "h2c", "Upgrade", "bytes=0-", "text/plain;q=0.5", "\xff"),
    *("application/openmetrics-text; version=1.0.0; q=0.7", "Bearer x", "Basic", "Basic ==="),
)
ALLOWED = f"Basic {b64encode(f'alice:{PASSWORD}'.encode()).decode()}"
TOKEN = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"

tokens = st.text(TOKEN, min_size=1, max_size=20)
visible = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"))
targets = st.one_of(
    st.sampled_from(PATHS),
    st.builds(
        "{}{}".format, st.sampled_from(PATHS), st.text(string.printable.strip(), max_size=30)
    ),
    st.builds("{}?{}".format, st.sampled_from(PATHS), visible),
    st.builds("/%{:02x}%{:02X}".format, st.integers(0, 255), st.integers(0, 255)),
    st.builds("http://{}/metrics".format, visible),
)
headers = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(NAMES), tokens), st.one_of(st.sampled_from(VALUES), visible)
    ),
    max_size=8,
)
HASTY = Timeouts(body=0.01, head=1)
qualities = st.sampled_from(
    ("", ";q=1", ";q=0", ";q=0.5", "; q=0.001", ";Q=0.9", ";q=2", ";q=", ";q")
)


@dataclass(frozen=True)
class World:
    """A served application, and the loop in which it runs."""

    runner: asyncio.Runner
    address: ListenAddress

    def answer(self, request: bytes) -> tuple[int, str, bytes]:
        """Status, head and body of the response; status 0: the connection was closed."""
        return self.runner.run(self._answer(request))

    async def _answer(self, request: bytes) -> tuple[int, str, bytes]:
        async with asyncio.timeout(DEADLINE), raw(self.address) as connection:
            connection.send(request)
            try:
                head = await connection.head()
                while head.startswith("HTTP/1.1 100"):
                    head = await connection.head()
            except asyncio.IncompleteReadError as error:
                return 0, "", error.partial
            body = b""
            if "\r\nContent-Length: 0\r\n" not in head:
                body = await connection.rest() if "Connection: close" in head else b""
            return int(head.split(" ")[1]), head, body


def page(openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - as the exporter's
    """A short page."""
    yield b"a 1\n# EOF\n" if openmetrics else b"a 1\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Endpoints with basic auth that are healthy and ready."""
    site = Site(tmp_path_factory.mktemp("site"), USERS)
    endpoints = replace(ENDPOINTS, exposition=page, is_ready=lambda: True)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        address = runner.run(stack.enter_async_context(guarded(site.security(), endpoints, HASTY)))
        yield World(runner, address)
        runner.run(stack.aclose())


def request(method: str, target: str, fields: list[tuple[str, str]]) -> bytes:
    """The bytes of a request with `Connection: close`."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: x",
        *(f"{name}: {value}" for name, value in fields),
    ]
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def assert_harmless(status: int, head: str, body: bytes) -> None:
    """Assert that a response is no server error, and reveals neither software nor secrets."""
    assert status < 500 or status in {501, 505}  # the client's fault, too
    for secret in (HASH, PASSWORD, ALLOWED, "Traceback", "aiohttp", "Python"):
        assert secret not in head
        assert secret.encode() not in body
    if status:
        assert "\r\nServer: flashback-exporter\r\n" in head
        assert "\r\nX-Content-Type-Options: nosniff" in head


@given(
    method=st.one_of(st.sampled_from(METHODS), tokens),
    target=targets,
    fields=headers,
    allowed=st.booleans(),
)
@example(method="OPTIONS", target="*", fields=[], allowed=True)
@example(method="CONNECT", target="x:1", fields=[], allowed=True)
@example(method="GET", target="http://[::1", fields=[], allowed=True)
@example(method="GET", target="/\xff%ff%00?%ff=%", fields=[("Accept", "\xff;q=\xb2")], allowed=True)
@example(method="GET", target="/metrics", fields=[("Expect", "a miracle")], allowed=True)
@example(method="GET", target="/nowhere", fields=[("Expect", "\xff")], allowed=False)
@example(method="GET", target="/", fields=[("Transfer-Encoding", "gzip, chunked")], allowed=False)
@example(method="POST", target="/-/reload", fields=[("Upgrade", "websocket")], allowed=True)
def test_odd_requests_are_harmless(
    world: World, method: str, target: str, fields: list[tuple[str, str]], *, allowed: bool
) -> None:
    """Any method, target and headers are harmless, and without credentials nothing gets 200."""
    credentials = [("Authorization", ALLOWED)] if allowed else []
    status, head, body = world.answer(request(method, target, credentials + fields))
    assert_harmless(status, head, body)
    assert allowed or status not in {200, 404, 405}


@given(st.binary(max_size=200), st.integers(0, 200))
def test_damaged_requests_are_harmless(world: World, noise: bytes, at: int) -> None:
    """A request with random bytes inserted is harmless."""
    sound = request("GET", "/metrics", [("Authorization", ALLOWED)])
    damaged = sound[:at] + noise + sound[at:] + b"\r\n\r\n" * 2
    assert_harmless(*world.answer(damaged))


@given(
    accept=st.lists(
        st.builds(
            "{}{}".format,
            st.sampled_from(
                (
                    *("application/openmetrics-text", "text/plain;version=0.0.4", "*/*", "text/*"),
                    *("application/openmetrics-text;version=1.0.0", "application/json", ""),
                )
            ),
            qualities,
        )
    ),
    encodings=st.lists(
        st.builds(
            "{}{}".format,
            st.sampled_from(("gzip", "x-gzip", "identity", "*", "br", "zstd", "GZIP", "")),
            qualities,
        )
    ),
    query=st.text(string.ascii_letters + string.digits + "=&[]%+;", max_size=20),
)
def test_every_negotiation_ends_in_a_page(
    world: World, accept: list[str], encodings: list[str], query: str
) -> None:
    """Any preferences and any query get the page, in the format that the response headers say."""
    fields = [("Authorization", ALLOWED), *(("Accept", item) for item in accept)]
    fields.append(("Accept-Encoding", ", ".join(encodings)))
    status, head, body = world.answer(request("GET", f"/metrics?{query}", fields))
    assert status == 200
    content = whole(head, body)
    if "\r\nContent-Encoding: gzip\r\n" in head:
        content = gzip.decompress(content)
    if f"\r\nContent-Type: {OPENMETRICS_TYPE}\r\n" in head:
        assert content == b"a 1\n# EOF\n"
    else:
        assert f"\r\nContent-Type: {TEXT_TYPE}\r\n" in head
        assert content == b"a 1\n"


def whole(head: str, body: bytes) -> bytes:
    """The content of a body, which must be complete according to its headers."""
    length = re.search(r"\r\nContent-Length: (\d+)\r\n", head)
    if length is None:
        assert "\r\nTransfer-Encoding: chunked\r\n" in head
        return unchunked(body)
    assert len(body) == int(length[1])
    return body


def unchunked(body: bytes) -> bytes:
    """The content of a chunked body, which must be complete."""
    content = b""
    while body != b"0\r\n\r\n":
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        content += body[:length]
        assert body[length : length + 2] == b"\r\n"
        body = body[length + 2 :]
    return content
