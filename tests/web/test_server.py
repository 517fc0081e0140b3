"""The listen addresses of the web server."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import httpx
import pytest
from aiohttp import web

from exporter.web.server import ListenAddress, ListenError, cannot_listen, serve

ALL_IPV4 = "0.0.0.0"  # noqa: S104 - what is tested is which families answer


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10120", ListenAddress("", 10120)),
        ("127.0.0.1:1", ListenAddress("127.0.0.1", 1)),
        ("localhost:0", ListenAddress("localhost", 0)),
        ("[::1]:10120", ListenAddress("::1", 10120)),
        ("[::]:10120", ListenAddress("::", 10120)),
    ],
)
def test_addresses_are_read_and_written_alike(text: str, address: ListenAddress) -> None:
    """Each form of Prometheus's listen address flag is parsed, and formatted as it was."""
    assert ListenAddress.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "10120", "localhost", "host:", "host:port", "host:65536", "host:-1", "::1:80", "host:٣"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """An invalid listen address is an error that quotes it."""
    with pytest.raises(ValueError, match="IPv6") as caught:
        ListenAddress.parse(text)
    assert repr(text) in str(caught.value)


def app() -> web.Application:
    """A minimal application."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="here")

    application = web.Application()
    application.router.add_get("/", answer)
    return application


async def test_every_address_answers() -> None:
    """Several addresses, IPv6 included, are served at once, until the server stops."""
    addresses = [ListenAddress("127.0.0.1", 0), ListenAddress("::1", 0)]
    async with serve(app(), addresses) as bound, httpx.AsyncClient(trust_env=False) as client:
        assert [address.host for address in bound] == ["127.0.0.1", "::1"]
        assert all(address.port for address in bound)
        for address in bound:
            assert (await client.get(f"http://{address}/")).text == "here"
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{bound[0]}/")


async def answering(port: int) -> list[str]:
    """The loopback addresses that accept connections on a port."""
    hosts = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for host in ("127.0.0.1", "::1"):
            try:
                assert (await client.get(f"http://{ListenAddress(host, port)}/")).text == "here"
            except httpx.ConnectError:
                continue
            hosts.append(host)
    return hosts


@pytest.mark.parametrize(
    ("text", "bound_hosts", "answers"),
    [
        (":0", [ALL_IPV4, "::"], ["127.0.0.1", "::1"]),
        ("[::]:0", [ALL_IPV4, "::"], ["127.0.0.1", "::1"]),
        ("0.0.0.0:0", [ALL_IPV4], ["127.0.0.1"]),
        ("[::1]:0", ["::1"], ["::1"]),
    ],
)
async def test_each_form_answers_on_its_families(
    text: str, bound_hosts: list[str], answers: list[str]
) -> None:
    """No host and `::` listen on IPv4 and IPv6 on the same port; others only on themselves."""
    async with serve(app(), [ListenAddress.parse(text)]) as bound:
        assert [address.host for address in bound] == bound_hosts
        (port,) = {address.port for address in bound}
        assert await answering(port) == answers


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
@pytest.mark.parametrize("text", [":0", "[::]:0"])
async def test_ipv4_alone_where_there_is_no_ipv6(
    monkeypatch: pytest.MonkeyPatch, text: str, number: int
) -> None:
    """Without IPv6, the server listens on IPv4, and reports only that address."""
    create = socket.create_server

    def without_ipv6(
        address: tuple[str, int], *, family: int = socket.AF_INET, backlog: int
    ) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(number, "no")
        return create(address, family=family, backlog=backlog)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    async with serve(app(), [ListenAddress.parse(text)]) as (address,):
        assert address.host == ALL_IPV4
        assert await answering(address.port) == ["127.0.0.1"]


async def test_a_free_port_is_free_on_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a free IPv4 port is in use on IPv6, another port is used for both."""
    create, tried = socket.create_server, []
    async with AsyncExitStack() as stack:

        def taken_first(
            address: tuple[str, int], *, family: int = socket.AF_INET, backlog: int
        ) -> socket.socket:
            tried.append(address)
            if len(tried) == 2:
                stack.enter_context(create(address, family=family))
            return create(address, family=family, backlog=backlog)

        monkeypatch.setattr(socket, "create_server", taken_first)
        async with serve(app(), [ListenAddress("", 0)]) as bound:
            assert {address.port for address in bound} == {tried[3][1]} != {tried[1][1]}


@pytest.mark.parametrize("first", ["", "::", ALL_IPV4])
@pytest.mark.parametrize("second", ["", ALL_IPV4, "127.0.0.1"])
async def test_addresses_that_clash_are_both_named(first: str, second: str) -> None:
    """The error about two listen addresses that conflict names both, on one line."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    addresses = [ListenAddress(first, port), ListenAddress(second, port)]
    with pytest.raises(ListenError) as caught:
        async with serve(app(), addresses):
            pass
    assert str(caught.value) == (
        f"cannot listen on {addresses[1]}: address already in use "
        f"(--web.listen-address={addresses[0]} has the same port): "
        "choose another --web.listen-address"
    )


async def test_address_of_another_host_is_not_blamed() -> None:
    """If another process uses the port, the error does not blame another listen address."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        addresses = [ListenAddress("127.0.0.1", port), ListenAddress("127.0.0.2", port)]
        with pytest.raises(ListenError) as caught:
            async with serve(app(), addresses):
                pass
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "reason"), [("127.0.0.1", "in use"), ("no-such-host.invalid", "unknown host name")]
)
async def test_what_cannot_be_bound_is_named(host: str, reason: str) -> None:
    """The error about a port in use or an unknown host names the address and the reason."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = ListenAddress(host, taken.getsockname()[1])
        with pytest.raises(ListenError) as caught:
            async with serve(app(), [address]):
                pass
    assert str(address) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        (80, "permission denied (a port below 1024 requires the capability NET_BIND_SERVICE)"),
        (10120, "permission denied"),
    ],
)
def test_privileged_ports_are_explained(port: int, reason: str) -> None:
    """The error about a port below 1024 names the capability that it requires."""
    error = cannot_listen(
        ListenAddress("::", port), PermissionError(13, "no"), "web.listen-address"
    )
    assert str(error) == (
        f"cannot listen on [::]:{port}: {reason}: choose another --web.listen-address"
    )


async def test_what_was_bound_is_let_go_when_another_cannot_be() -> None:
    """If one address is in use, the sockets of the others are closed."""
    async with serve(app(), [ListenAddress("127.0.0.1", 0)]) as (taken,):
        with pytest.raises(ListenError, match=f"cannot listen on {taken}: address already in use"):
            async with serve(app(), [ListenAddress("::1", taken.port), taken]):
                pass
        async with serve(app(), [ListenAddress("::1", taken.port)]) as bound:
            assert bound == (ListenAddress("::1", taken.port),)


@pytest.mark.parametrize("failing", [1, 2])
async def test_sockets_of_both_families_are_closed_when_one_cannot_listen(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the loop takes one of the two sockets of `:port` and not the other, both are closed."""
    loop, opened = asyncio.get_running_loop(), list[socket.socket]()
    open_one, listen, numbers = socket.create_server, loop.create_server, count(1)

    def open_and_keep(*args: Any, **options: Any) -> socket.socket:  # noqa: ANN401 - passed on
        opened.append(open_one(*args, **options))
        return opened[-1]

    async def listen_or_fail(*args: Any, **options: Any) -> asyncio.Server:  # noqa: ANN401
        if next(numbers) == failing:
            raise OSError(errno.EMFILE, "Too many open files")
        server: asyncio.Server = await listen(*args, **options)
        return server

    monkeypatch.setattr(socket, "create_server", open_and_keep)
    monkeypatch.setattr(loop, "create_server", listen_or_fail)
    with pytest.raises(ListenError, match="too many open files"):
        async with serve(app(), [ListenAddress("", 0)]):
            pass
    assert {each.fileno() for each in opened} == {-1}


async def test_running_requests_finish() -> None:
    """A request that is in progress when the server stops still gets its response."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        entered.set()
        await leave.wait()
        return web.Response(text="in time")

    application = web.Application()
    application.router.add_get("/", answer)
    async with asyncio.TaskGroup() as group, httpx.AsyncClient(trust_env=False) as client:
        async with serve(application, [ListenAddress("127.0.0.1", 0)]) as (address,):
            response = group.create_task(client.get(f"http://{address}/"))
            await entered.wait()
            asyncio.get_running_loop().call_later(0.1, leave.set)
        assert (await response).text == "in time"
