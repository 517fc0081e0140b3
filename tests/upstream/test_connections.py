"""When connections are reused, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from random import Random

import pytest
import trustme

from exporter.model import GoodPoll, Reason
from exporter.upstream.client import Client
from exporter.upstream.credentials import StaticToken
from exporter.upstream.parsing import ResponseLimits
from exporter.upstream.rate_limit import RateLimiter
from exporter.upstream.request import Requester
from exporter.upstream.transport import FRESH_CONNECTION, RequestFailed, Transport
from tests.harness.fakes import FakeClock, Recorder, bucket
from tests.upstream import scripted
from tests.upstream.scripted import chunked, elsewhere, http, request

LIMIT = 1000
STRAY = http(b"stray", "X-Long: header")
LATE_408 = http(b"", "Connection: close", status="408 Request Timeout")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """One authority for all tests in this module, because generating keys is slow."""
    return trustme.CA()


def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The TLS contexts of a server and of a client that trusts it."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return server, trusting


async def body(transport: Transport, url: str, path: str = "/", **extensions: object) -> bytes:
    """The body of a response."""
    return (await transport.send(request(url, path, **extensions), LIMIT)).body


def answers_with(*extra: bytes) -> Callable[[scripted.Client], Coroutine[None, None, None]]:
    """A script that returns the request's path; extra bytes follow the first response."""

    async def script(asked: scripted.Client) -> None:
        behind = b"".join(extra) if asked.path == "/first" else b""
        await asked.send(http(asked.path.encode()) + behind)

    return script


@pytest.mark.parametrize("length", range(1, len(STRAY) + 1))
async def test_surplus_behind_an_answer_closes_its_connection(length: int) -> None:
    """Extra bytes after a response close the connection; the next request never reads them."""
    async with scripted.scripted(answers_with(STRAY[:length])) as server, scripted.client() as http:
        assert await body(http, server.url, "/first") == b"/first"
        assert await body(http, server.url, "/second") == b"/second"
        assert await body(http, server.url, "/third") == b"/third"
    assert server.connections == 2


@pytest.mark.parametrize("surplus", [STRAY, STRAY[:20], STRAY[:-1]], ids=["whole", "head", "cut"])
@pytest.mark.parametrize("make", [http, chunked])
async def test_surplus_after_a_head_that_was_read(
    make: Callable[[bytes], bytes], surplus: bytes
) -> None:
    """Extra bytes that arrive with the end of a response, after its head, close the connection."""
    read_on = asyncio.Event()

    async def script(asked: scripted.Client) -> None:
        answer = make(asked.path.encode())
        if asked.path != "/first":
            await asked.send(answer)
            return
        await asked.send(answer[:-1])
        await read_on.wait()
        await asked.send(answer[-1:] + surplus)

    async with scripted.scripted(script) as server, scripted.client() as http:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(body(http, server.url, "/first"))
            for _ in range(100):
                await asyncio.sleep(0)
            read_on.set()
        assert first.result() == b"/first"
        if surplus == STRAY:
            await server.all_closed(1)  # at once, not only with the next request
        assert await body(http, server.url, "/second") == b"/second"
    assert server.connections == 2


@pytest.mark.parametrize(
    "unasked", [STRAY, STRAY[:7], LATE_408, b"\r\n"], ids=["answer", "piece", "408", "empty line"]
)
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
async def test_what_comes_while_idle_closes_the_connection(
    authority: trustme.CA, unasked: bytes, *, over_tls: bool
) -> None:
    """An idle connection that receives any data is closed at once and never reused."""
    server_side, trusting = contexts(authority)
    now = asyncio.Event()

    async def script(asked: scripted.Client) -> None:
        await asked.send(http(asked.path.encode()))
        if asked.path == "/first":
            await now.wait()
            await asked.send(unasked)

    serving = scripted.scripted(script, server_side if over_tls else None)
    async with serving as server, scripted.client(trusting) as client:
        assert await body(client, server.url, "/first") == b"/first"
        now.set()
        await server.all_closed(1)
        assert await body(client, server.url, "/second") == b"/second"
    assert server.connections == 2


@pytest.mark.parametrize(
    "act",
    [
        lambda connection: connection.sendall(STRAY),
        lambda connection: connection.sendall(LATE_408),
        lambda connection: connection.shutdown(socket.SHUT_WR),
        lambda connection: connection.close(),
    ],
    ids=["answer", "408", "half closed", "closed"],
)
async def test_what_the_event_loop_has_not_read_yet_counts(
    act: Callable[[socket.socket], None],
) -> None:
    """A connection is not reused if data or its end has arrived but was not read yet."""
    with elsewhere() as server:
        async with scripted.client() as client:
            assert await body(client, server.url) == b"own"
            server.do_now(act)
            assert await body(client, server.url) == b"own"
    assert server.connections == 2


async def test_connections_over_tls_are_kept(authority: trustme.CA) -> None:
    """TLS 1.3 session tickets do not count as unexpected data, so the connection is reused."""
    server_side, trusting = contexts(authority)
    async with (
        scripted.scripted(answers_with(), server_side) as server,
        scripted.client(trusting) as client,
    ):
        for number in range(10):
            assert await body(client, server.url, f"/{number}") == b"/%d" % number
    assert server.connections == 1


async def test_fresh_connection_where_one_is_wanted() -> None:
    """A request with FRESH_CONNECTION opens a new connection instead of reusing one."""
    async with scripted.scripted(answers_with()) as server, scripted.client() as client:
        await body(client, server.url, "/first")
        await body(client, server.url, "/second")
        assert server.connections == 1
        await body(client, server.url, "/third", **{FRESH_CONNECTION: True})
        assert server.connections == 2


async def test_broken_chunks_fail_at_once() -> None:
    """A chunked response that breaks in its body fails as malformed at once, not by timeout."""
    broken = asyncio.Event()

    async def script(asked: scripted.Client) -> None:
        await asked.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await broken.wait()
        await asked.send(b"plain body")

    async with (
        scripted.scripted(script) as server,
        scripted.client() as client,
        asyncio.TaskGroup() as group,
    ):
        asking = group.create_task(failed(client, server.url))
        for _ in range(100):
            await asyncio.sleep(0)
        broken.set()
        await asking
    assert asking.result().api_error.reason is Reason.MALFORMED


async def failed(transport: Transport, url: str) -> RequestFailed:
    """The error with which a request fails."""
    with pytest.raises(RequestFailed) as caught:
        await body(transport, url)
    return caught.value


class NoWaiting(FakeClock):
    """A clock whose sleep returns at once, so no deadline passes."""

    async def sleep(self, seconds: float) -> None:
        self.move_to(self.monotonic() + seconds)
        await asyncio.sleep(0)


def polling(transport: Transport, url: str) -> tuple[Client, Recorder]:
    """A client of an API, and its recording observer."""
    clock, seen = NoWaiting(), Recorder()
    requester = Requester(
        "main",
        url,
        transport=transport,
        timeout=10,
        max_response_bytes=LIMIT,
        user_agent="test",
        clock=clock,
        observer=seen,
    )
    made = Client(
        requester,
        StaticToken("t0ken"),
        response_limits=ResponseLimits(frozenset(), 10),
        deadline=60,
        turns=RateLimiter(1000, clock),
        clock=clock,
        rng=Random(0),
    )
    return made, seen


GOOD = http(b'{"success": true, "nodeStats": []}')


async def test_last_attempt_has_a_fresh_connection() -> None:
    """If two attempts fail on dead kept connections, the third uses a new one and succeeds."""
    together = asyncio.Barrier(3)

    async def script(asked: scripted.Client) -> None:
        if asked.number > 1:  # the server drops the kept connection
            asked.writer.transport.abort()
            raise ConnectionResetError
        if asked.path == "/warm-up":
            await together.wait()
        await asked.send(GOOD)

    async with scripted.scripted(script) as server, scripted.client() as transport:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(body(transport, server.url, "/warm-up"))
        client, seen = polling(transport, server.url)
        assert isinstance(await client.poll(bucket("b1")), GoodPoll)
    assert [each.reason for each in seen.attempts] == [Reason.CONNECT, Reason.CONNECT, None]
    assert server.connections == 4


async def test_408_that_meets_a_request_costs_no_poll() -> None:
    """A request that meets the 408 of an idle timeout is retried, and the poll succeeds."""

    async def script(asked: scripted.Client) -> None:
        await asked.send(LATE_408 if asked.number > 1 else GOOD)
        if asked.number > 1:
            raise ConnectionResetError

    async with scripted.scripted(script) as server, scripted.client() as transport:
        client, seen = polling(transport, server.url)
        for _ in range(2):
            assert isinstance(await client.poll(bucket("b1")), GoodPoll)
    assert [(each.status, each.reason) for each in seen.attempts] == [
        (200, None),
        (408, Reason.CONNECT),
        (200, None),
    ]
