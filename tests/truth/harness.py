"""The exporter and the simulator at work together, and what a scrape of them is."""

from __future__ import annotations

import asyncio
from collections import deque
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
from tests.truth.clock import JumpingClock
from tests.truth.plan import Plan
from tests.truth.readings import Moment
from tests.truth.recorder import RecordedSimulator

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
USER = simulator.User("ops@example.com", "pa55word")

BEAT = 0.005
"""Seconds of real time between two looks at how busy the loop is."""

BUSY_BEATS = 400
"""How many of these looks count."""

LEAST_SLACK = 5.0
"""Simulated seconds from an answer's last byte to the end of its poll, where nothing is busy."""


class ScrapedPage(NamedTuple):
    """A page as it came."""

    text: str
    openmetrics: bool
    moment: Moment


class Harness:
    """Everything that a run needs to hand."""

    def __init__(
        self, api: RecordedSimulator, clock: JumpingClock, port: int, directory: Path
    ) -> None:
        self.api = api
        self.clock = clock
        self.port = port
        self.directory = directory
        self.file = directory / "config.yaml"
        self._session: aiohttp.ClientSession | None = None
        self._late: deque[float] = deque([0.0], maxlen=BUSY_BEATS)

    def write(self, plan: Plan) -> None:
        """Put a plan into the configuration file."""
        self.file.write_text(plan.text(self.port), "utf-8")

    async def reload(self) -> tuple[int, str]:
        """Ask for a reload; the status and the text of the answer."""
        async with self.session.post("/-/reload") as answer:
            return answer.status, await answer.text()

    async def status(self, path: str) -> int:
        """The status of one of the exporter's endpoints."""
        async with self.session.get(path) as answer:
            return answer.status

    async def scrape(self, *, openmetrics: bool, gzip: bool) -> ScrapedPage:
        """A page in one format or the other."""
        headers = {"Accept": OPENMETRICS if openmetrics else "text/plain"}
        headers["Accept-Encoding"] = "gzip" if gzip else "identity"
        before = self.clock.monotonic()
        async with self.session.get("/metrics", headers=headers) as answer:
            body = await answer.read()
            if answer.status != 200 or openmetrics != ("openmetrics" in answer.content_type):
                raise AssertionError(f"{answer.status} {answer.content_type}")
            if gzip != (answer.headers.get("Content-Encoding") == "gzip"):
                raise AssertionError("not compressed as asked for")
        after = self.clock.monotonic()
        busy = 4 * max(self._late) * self.clock.speed
        slack = LEAST_SLACK + busy + after - before
        return ScrapedPage(body.decode(), openmetrics, Moment(before, after, slack))

    @property
    def session(self) -> aiohttp.ClientSession:
        """The connection to the exporter."""
        if self._session is None:
            raise RuntimeError("nothing is served yet")
        return self._session

    @asynccontextmanager
    async def serving(self, chance: Random) -> AsyncIterator[None]:
        """The exporter polls and serves while the body runs."""
        options = Options((ListenAddress("127.0.0.1", 0),), lifecycle=True)

        def load() -> Config:
            return parse(self.file.read_text("utf-8"), path=self.file, environ={})

        async with (
            run_app(load, options, self.clock, chance, asyncio.Event()) as (address,),
            aiohttp.ClientSession(f"http://{address}", trust_env=False) as session,
            asyncio.TaskGroup() as group,
        ):
            self._session = session
            beating = group.create_task(self._beat())
            yield
            beating.cancel()

    async def _beat(self) -> None:
        """Measure how late this loop comes to what is due."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT
            await asyncio.sleep(BEAT)
            self._late.append(loop.time() - due)
