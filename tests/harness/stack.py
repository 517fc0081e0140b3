"""The exporter against the simulator, in this process and over real sockets, at any speed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx

from exporter import simulator
from exporter.app import Options, run_app
from exporter.config import parse
from exporter.simulator.server import serve
from exporter.web.server import ListenAddress
from tests.harness.fakes import NOON, FastClock
from tests.harness.scrapes import Sample, Scrape

ANYWHERE = Options((ListenAddress("127.0.0.1", 0),))
BUCKETS = ("b1", "b2", "b3")


def document(api: str, *, buckets: tuple[str, ...] = BUCKETS, **settings: object) -> str:
    """A configuration file that polls buckets of one account."""
    entries = "".join(f"  {key}: {value}\n" for key, value in settings.items())
    return (
        f"global:\n  base_url: {api}\n{entries}"
        "accounts:\n  - name: main\n    authorization: {credentials: t0}\n    buckets:\n"
        + "".join(f"      - '{each}'\n" for each in buckets)
    )


class Running:
    """An exporter at work, and the simulator that it asks."""

    def __init__(
        self,
        api: simulator.Simulator,
        client: httpx.AsyncClient,
        clock: FastClock,
        reload_requested: asyncio.Event,
    ) -> None:
        self.api = api
        self.clock = clock
        self.reload_requested = reload_requested
        self.address = client.base_url.netloc.decode()
        self._client = client

    async def scrape(self) -> Scrape:
        return Scrape((await self._client.get("/metrics")).text)

    async def status(self, path: str) -> int:
        return (await self._client.get(path)).status_code

    async def request(self, method: str, path: str) -> httpx.Response:
        """The answer of one of the exporter's endpoints."""
        return await self._client.request(method, path)

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Return when something has come to hold, without a scrape."""
        async with asyncio.timeout(60):
            while not holds():  # noqa: ASYNC110 - what it waits for is behind sockets
                await asyncio.sleep(0.01)

    async def scrape_when(self, holds: Callable[[Scrape], bool]) -> Scrape:
        """The first page of which something holds."""
        async with asyncio.timeout(60):
            while not holds(page := await self.scrape()):
                pass
        return page


@asynccontextmanager
async def running(
    scenarios: str | tuple[simulator.InjectedFault, ...] = "",
    *,
    wall: float = NOON,
    speed: float = 1.0,
    options: Options = ANYWHERE,
    text: Callable[[str], str] = document,
    path: Path = Path("config.yaml"),
    **simulated: Any,  # noqa: ANN401 - the simulator's own settings
) -> AsyncIterator[Running]:
    """The exporter polls a simulator that plays these scenarios.

    `text` makes the configuration from the API's URL, anew for each reload.
    """
    clock = FastClock(wall, speed)
    reload_requested = asyncio.Event()
    api = simulator.Simulator(now=clock.wall, scenarios=scenarios, keep=100_000, **simulated)
    async with (
        serve(api) as url,
        run_app(
            lambda: parse(text(url), path=path, environ={}),
            options,
            clock,
            Random(0),
            reload_requested,
        ) as (address,),
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client,
    ):
        yield Running(api, client, clock, reload_requested)


def all_polled(page: Scrape) -> bool:
    """Whether each bucket was polled."""
    return len(page.all("flashback_bucket_up")) == len(BUCKETS)


FIELDS: dict[str, tuple[str, Callable[[float], float]]] = {
    "flashback_node_uptime_ratio": ("perc_uptime", lambda percent: percent / 100),
    "flashback_node_latency_average_seconds": ("avg_latency_ms", lambda ms: ms / 1000),
    "flashback_node_latency_last_seconds": ("last_latency_ms", lambda ms: ms / 1000),
}


def was_served(api: simulator.Simulator, sample: Sample) -> bool:
    """Whether the simulator really said what a node's sample says."""
    field, in_base_units = FIELDS[sample.name]
    identity = (sample.labels["ip"], sample.labels["host"])
    sent = api.record.sent(sample.labels["bucket_id"], identity, field)
    return sample.value in {
        in_base_units(value) for value in sent if isinstance(value, int | float)
    }
