"""Where the endpoints are served."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
from aiohttp import web

from exporter.web.server import ListenAddress, ListenError, cannot_listen, serve


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
    """Each form of Prometheus's own flag is understood, and written back as it was."""
    assert ListenAddress.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "10120", "localhost", "host:", "host:port", "host:65536", "host:-1", "::1:80", "host:٣"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Anything else is an error that quotes it."""
    with pytest.raises(ValueError, match="IPv6") as caught:
        ListenAddress.parse(text)
    assert repr(text) in str(caught.value)


def app() -> web.Application:
    """Something to serve."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="here")

    application = web.Application()
    application.router.add_get("/", answer)
    return application


async def test_every_address_answers() -> None:
    """Several addresses are served at once, IPv6 among them, and named as they were bound."""
    addresses = [ListenAddress("127.0.0.1", 0), ListenAddress("::1", 0)]
    async with serve(app(), addresses) as bound, httpx.AsyncClient(trust_env=False) as client:
        assert [address.host for address in bound] == ["127.0.0.1", "::1"]
        assert all(address.port for address in bound)
        for address in bound:
            assert (await client.get(f"http://{address}/")).text == "here"
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{bound[0]}/")


@pytest.mark.parametrize(
    ("host", "reason"), [("127.0.0.1", "in use"), ("no-such-host.invalid", "the name is not known")]
)
async def test_what_cannot_be_bound_is_named(host: str, reason: str) -> None:
    """A port in use or an unknown name is one line that says which address and why."""
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
        (80, "permission denied (a port below 1024 takes the capability NET_BIND_SERVICE)"),
        (10120, "permission denied"),
    ],
)
def test_privileged_ports_are_explained(port: int, reason: str) -> None:
    """Who may not bind a port learns which capability it takes, where that is the reason."""
    error = cannot_listen(
        ListenAddress("::", port), PermissionError(13, "no"), "web.listen-address"
    )
    assert str(error) == (
        f"cannot listen on [::]:{port}: {reason}; choose another --web.listen-address"
    )


async def test_what_was_bound_is_let_go_when_another_cannot_be() -> None:
    """An address that is in use leaves none of the others open."""
    async with serve(app(), [ListenAddress("127.0.0.1", 0)]) as (taken,):
        with pytest.raises(ListenError, match=f"cannot listen on {taken}: address already in use"):
            async with serve(app(), [ListenAddress("::1", taken.port), taken]):
                pass
        async with serve(app(), [ListenAddress("::1", taken.port)]) as bound:
            assert bound == (ListenAddress("::1", taken.port),)


async def test_running_requests_finish() -> None:
    """A request that is being answered when the end comes is answered."""
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
