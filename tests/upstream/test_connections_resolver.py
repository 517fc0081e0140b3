"""DNS lookups run in threads of their own and do not block each other."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from exporter.upstream.connections import Resolver
from exporter.upstream.transport import RequestFailed, Transport, connections
from tests.upstream import scripted
from tests.upstream.scripted import http, request

HERE = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


class Names:
    """A fake getaddrinfo that hangs for names that begin with `dead` until `end` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.end = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self, host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        self.threads.append(threading.current_thread())
        if host.startswith("dead"):
            self.end.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host == "bad":
            raise UnicodeError("label too long")
        return HERE


@contextmanager
def names() -> Iterator[Names]:
    """A fake getaddrinfo whose hanging lookups end with the body."""
    made = Names()
    try:
        yield made
    finally:
        made.end.set()
        for thread in made.threads:
            thread.join(20)


class NoPool(ThreadPoolExecutor):
    """An executor that fails the test if it is used."""

    def submit(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - the base class's
        raise AssertionError("asyncio's own pool was used")


async def test_many_hanging_names_do_not_hold_up_another() -> None:
    """While 100 lookups hang another name resolves, and asyncio's default executor is not used."""
    with names() as look_up:
        asyncio.get_running_loop().set_default_executor(NoPool())
        resolver = Resolver(look_up)
        hanging = [asyncio.ensure_future(resolver.resolve(f"dead-{each}")) for each in range(100)]
        async with asyncio.timeout(20):
            found = await resolver.resolve("alive", 443)
        assert [(each["host"], each["port"], each["hostname"]) for each in found] == [
            ("127.0.0.1", 443, "alive")
        ]
        assert not any(each.done() for each in hanging)
        assert all(thread.daemon for thread in look_up.threads)
        for each in hanging:
            each.cancel()
        await asyncio.wait(hanging)


async def test_a_name_is_looked_up_once_at_a_time() -> None:
    """Concurrent requests share one lookup of a name; cancelling one does not affect the others."""
    with names() as look_up:
        resolver = Resolver(look_up)
        waiting = [asyncio.ensure_future(resolver.resolve("dead", port)) for port in range(10)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        look_up.end.set()
        results = await asyncio.gather(*waiting[1:], return_exceptions=True)
        assert all(isinstance(each, socket.gaierror) for each in results)
        assert look_up.asked == ["dead"]
        with pytest.raises(socket.gaierror):
            await resolver.resolve("dead")
        assert look_up.asked == ["dead", "dead"]


async def test_a_name_that_cannot_be_one_is_not_resolved() -> None:
    """A name that Python cannot encode fails as a DNS error."""
    with names() as look_up, pytest.raises(socket.gaierror):
        await Resolver(look_up).resolve("bad")


async def test_connections_use_the_resolver() -> None:
    """Connections go to the address that the resolver returns."""
    async with scripted.scripted(lambda asked: asked.send(http(b"body"))) as server:
        with names() as look_up:
            port = server.url.rpartition(":")[2]
            transport = Transport(
                connections(4, ssl.create_default_context(), None, Resolver(look_up))
            )
            answer = await transport.send(request(f"http://alive:{port}"), 1000)
            await transport.aclose()
    assert answer.body == b"body"
    assert look_up.asked == ["alive"]


def test_stopping_waits_for_no_look_up(caplog: pytest.LogCaptureFixture) -> None:
    """While a lookup hangs, cancelling requests, closing connections and exit do not wait."""

    async def give_up() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        transport = Transport(connections(4, ssl.create_default_context(), None, resolver))
        asking = [
            asyncio.ensure_future(transport.send(request(f"http://dead-{each % 2}"), 1000))
            for each in range(4)
        ]
        while len(look_up.asked) < 2:  # noqa: ASYNC110 - a thread makes the lookup
            await asyncio.sleep(0.001)
        asking[0].cancel()
        await asyncio.wait(asking[:1])
        await transport.aclose()
        await asyncio.wait(asking)
        assert all(
            each.cancelled() or isinstance(each.exception(), RequestFailed) for each in asking
        )

    complaints: list[object] = []
    with names() as look_up:
        resolver = Resolver(look_up)
        asyncio.run(give_up())
        assert not look_up.end.is_set()
        assert all(thread.is_alive() for thread in look_up.threads)
    assert complaints == []
    assert caplog.records == []
