"""The fixture of the simulator's tests, which serves it on a real socket."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest

from exporter.simulator import Simulator
from exporter.simulator.server import serve

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # so that the clients do not load CAs


@asynccontextmanager
async def _serving(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve(simulator) as url,
        httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": "Bearer token", "User-Agent": "test/1"},
            verify=_NO_TLS,
            trust_env=False,
        ) as client,
    ):
        yield client


@pytest.fixture
def serving() -> Callable[[Simulator], AbstractAsyncContextManager[httpx.AsyncClient]]:
    """Serve a simulator until the `with` block ends; yields a client that has a token."""
    return _serving
