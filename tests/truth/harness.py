"""Runs the exporter against the simulator, and scrapes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import aiohttp

from exporter import simulator
from exporter.app import Options, run_app
from exporter.config import Config, parse
from exporter.web.server import ListenAddress
from tests.harness.simulated_network import API_URL, connect_to, serve_on
from tests.truth.clock import JumpingClock
from tests.truth.plan import Plan
from tests.truth.recorder import RecordedSimulator

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
USER = simulator.User("ops@example.com", "pa55word")


class ScrapedPage(NamedTuple):
    """A page as it was received."""

    text: str
    openmetrics: bool
    at: float  # monotonic seconds


class Harness:
    """The exporter, the simulator, the clock and the directory of a run."""

    def __init__(self, api: RecordedSimulator, clock: JumpingClock, directory: Path) -> None:
        self.api = api
        self.clock = clock
        self.directory = directory
        self.file = directory / "config.yaml"
        self._session: aiohttp.ClientSession | None = None

    def write(self, plan: Plan) -> None:
        """Write a plan to the configuration file."""
        self.file.write_text(plan.text(API_URL), "utf-8")

    async def reload(self) -> tuple[int, str]:
        """Request a reload; returns the status and the text of the response."""
        async with self.session.post("/-/reload") as answer:
            return answer.status, await answer.text()

    async def status(self, path: str) -> int:
        """The status of an endpoint."""
        async with self.session.get(path) as answer:
            return answer.status

    async def scrape(self, *, openmetrics: bool, gzip: bool) -> ScrapedPage:
        """Scrape a page in one of the formats, compressed or not."""
        headers = {"Accept": OPENMETRICS if openmetrics else "text/plain"}
        headers["Accept-Encoding"] = "gzip" if gzip else "identity"
        async with self.session.get("/metrics", headers=headers) as answer:
            body = await answer.read()
            if answer.status != 200 or openmetrics != ("openmetrics" in answer.content_type):
                raise AssertionError(f"{answer.status} {answer.content_type}")
            if gzip != (answer.headers.get("Content-Encoding") == "gzip"):
                raise AssertionError("not compressed as asked for")
        return ScrapedPage(body.decode(), openmetrics, self.clock.monotonic())

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session with the exporter."""
        if self._session is None:
            raise RuntimeError("nothing is served yet")
        return self._session

    @asynccontextmanager
    async def serving(self, rng: Random) -> AsyncIterator[None]:
        """Run the exporter until the `with` block ends."""
        options = Options((ListenAddress("127.0.0.1", 0),), lifecycle=True)

        def load() -> Config:
            return parse(self.file.read_text("utf-8"), path=self.file, environ={})

        socket = self.directory / "socket"
        async with (
            run_app(
                load,
                options,
                self.clock,
                rng,
                asyncio.Event(),
                connect=connect_to(self.api),
                serve=serve_on(socket),
            ),
            aiohttp.ClientSession(
                "http://exporter", connector=aiohttp.UnixConnector(str(socket))
            ) as session,
        ):
            self._session = session
            yield
