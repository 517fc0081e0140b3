"""Runs the exporter against the simulator in this process: on virtual time or on real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from exporter import simulator
from exporter.app import Options, run_app
from exporter.clock import Clock, SystemClock
from exporter.config import parse
from exporter.simulator.server import serve
from exporter.web.server import ListenAddress
from tests.harness.fakes import NOON
from tests.harness.scrapes import Sample, Scrape
from tests.harness.simulated_network import API_URL, connect_to, serve_on
from tests.harness.virtual_loop import VirtualClock

ANYWHERE = Options((ListenAddress("127.0.0.1", 0),))
BUCKETS = ("b1", "b2", "b3")


def document(api: str, *, buckets: tuple[str, ...] = BUCKETS, **settings: object) -> str:
    """A configuration file with one account and these buckets."""
    entries = "".join(f"  {key}: {value}\n" for key, value in settings.items())
    return (
        f"global:\n  base_url: {api}\n{entries}"
        "accounts:\n  - name: main\n    authorization: {credentials: t0}\n    buckets:\n"
        + "".join(f"      - '{each}'\n" for each in buckets)
    )


@dataclass(frozen=True, slots=True)
class Running:
    """A running exporter, and its simulator."""

    api: simulator.Simulator
    client: httpx.AsyncClient
    clock: Clock
    reload_requested: asyncio.Event
    longest_wait: float
    """Seconds after which a wait fails."""

    @property
    def address(self) -> str:
        """The exporter's address as `host:port`."""
        return self.client.base_url.netloc.decode()

    async def scrape(self) -> Scrape:
        """Scrape a page, and check it with the client library's parser."""
        return (await self._page()).check()

    async def status(self, path: str) -> int:
        return (await self.client.get(path)).status_code

    async def request(self, method: str, path: str) -> httpx.Response:
        """Send a request to the exporter."""
        return await self.client.request(method, path)

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition without scraping."""
        start = self.clock.monotonic()
        while not holds():
            await self._pause(start)

    async def scrape_when(self, holds: Callable[[Scrape], bool]) -> Scrape:
        """Scrape until a condition holds for the page; returns it."""
        start = self.clock.monotonic()
        while not holds(page := await self._page()):
            await self._pause(start)
        return page.check()

    async def _page(self) -> Scrape:
        return Scrape((await self.client.get("/metrics")).text)

    async def _pause(self, start: float) -> None:
        """Wait before the next check: at first briefly, later an eighth of the time so far."""
        passed = self.clock.monotonic() - start
        if passed > self.longest_wait:
            raise TimeoutError("what the test waits for does not come")
        await self.clock.sleep(max(0.05, passed / 8))


@dataclass(frozen=True, slots=True)
class RunningOnVirtualTime(Running):
    """A running exporter on virtual time. Its wall clock can be set."""

    clock: VirtualClock
    longest_wait: float = 4 * 3600.0


@asynccontextmanager
async def running(
    scenarios: str | tuple[simulator.InjectedFault, ...] = "",
    *,
    wall: float = NOON,
    options: Options = ANYWHERE,
    text: Callable[[str], str] = document,
    path: Path = Path("config.yaml"),
    **simulated: Any,  # noqa: ANN401 - the simulator's own settings
) -> AsyncIterator[RunningOnVirtualTime]:
    """Run the exporter on virtual time, against a simulator that plays these scenarios.

    The test needs the marker `virtual_time`. `text` makes the configuration from the API's URL; it
    is called for each reload.
    """
    clock = VirtualClock(wall)
    reload_requested = asyncio.Event()
    api = simulator.Simulator(now=clock.wall, scenarios=scenarios, keep=100_000, **simulated)
    with TemporaryDirectory() as directory:
        socket = Path(directory) / "socket"
        async with (
            run_app(
                lambda: parse(text(API_URL), path=path, environ={}),
                options,
                clock,
                Random(0),
                reload_requested,
                connect=connect_to(api),
                serve=serve_on(socket),
            ),
            httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://exporter"
            ) as client,
        ):
            yield RunningOnVirtualTime(api, client, clock, reload_requested)


@asynccontextmanager
async def running_on_sockets(
    scenarios: str | tuple[simulator.InjectedFault, ...] = "",
    *,
    wall: float = NOON,
    options: Options = ANYWHERE,
    text: Callable[[str], str] = document,
    **simulated: Any,  # noqa: ANN401 - the simulator's own settings
) -> AsyncIterator[Running]:
    """Run the exporter in real time and on real sockets, for tests that need them."""
    started = time.monotonic()
    clock = SystemClock(lambda: wall + time.monotonic() - started)
    reload_requested = asyncio.Event()
    api = simulator.Simulator(
        now=lambda: clock.now().wall, scenarios=scenarios, keep=100_000, **simulated
    )
    async with (
        serve(api) as url,
        run_app(
            lambda: parse(text(url), path=Path("config.yaml"), environ={}),
            options,
            clock,
            Random(0),
            reload_requested,
        ) as (address,),
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client,
    ):
        yield Running(api, client, clock, reload_requested, longest_wait=60.0)


def all_polled(page: Scrape) -> bool:
    return len(page.all("flashback_bucket_up")) == len(BUCKETS)


FIELDS: dict[str, tuple[str, Callable[[float], float]]] = {
    "flashback_node_uptime_ratio": ("perc_uptime", lambda percent: percent / 100),
    "flashback_node_latency_average_seconds": ("avg_latency_ms", lambda ms: ms / 1000),
    "flashback_node_latency_last_seconds": ("last_latency_ms", lambda ms: ms / 1000),
}


def was_served(api: simulator.Simulator, sample: Sample) -> bool:
    """Whether the simulator really sent the value of a node's sample."""
    field, in_base_units = FIELDS[sample.name]
    identity = (sample.labels["ip"], sample.labels["host"])
    sent = api.record.sent(sample.labels["bucket_id"], identity, field)
    return sample.value in {
        in_base_units(value) for value in sent if isinstance(value, int | float)
    }
