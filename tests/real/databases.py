"""Runs Prometheus and VictoriaMetrics, and queries them.

Each uses a free port, keeps its data in a directory of the test, and scrapes every `interval`.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import httpx

from tests.real.programs import TIMEOUTS, Program, started, until


class Series(NamedTuple):
    """The name and labels of a series, in a form that can be compared."""

    name: str
    labels: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, name: str, labels: Mapping[str, str]) -> Series:
        """A series by name and labels.

        Empty labels are left out, as are `job` and `instance`, which the database adds.
        """
        own = {"__name__", "job", "instance"}
        return cls(
            name, frozenset(pair for pair in labels.items() if pair[1] and pair[0] not in own)
        )

    def label(self, name: str) -> str:
        """The value of a label; empty if there is none."""
        return dict(self.labels).get(name, "")


Samples: TypeAlias = dict[Series, float]
"""The samples at one time."""

PollHistory: TypeAlias = dict[float, float]
"""The values of one series, by Unix time."""


class Database:
    """A running database, with the query API that both have."""

    def __init__(self, client: httpx.AsyncClient, server: Program) -> None:
        self._client = client
        self._server = server

    @property
    def url(self) -> str:
        return str(self._client.base_url)

    def log(self) -> str:
        """The program's output so far."""
        return self._server.output()

    async def get(self, path: str, **parameters: str | float) -> Any:  # noqa: ANN401 - JSON
        """The data of an API call; raises if it fails."""
        response = await self._client.get(f"/api/v1/{path}", params=parameters)
        answer = response.raise_for_status().json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def samples(self, query: str, at: float) -> Samples:
        """The result of a query at a Unix time."""
        data = await self.get("query", query=query, time=at)
        found = [(_series(each["metric"]), float(each["value"][1])) for each in data["result"]]
        assert len(dict(found)) == len(found)
        return dict(found)

    async def histories(self, selector: str) -> dict[Series, PollHistory]:
        """All stored samples of a selector."""
        data = await self.get("query", query=f"{selector}[1h]")
        return {
            _series(each["metric"]): {at: float(value) for at, value in each["values"]}
            for each in data["result"]
        }

    async def history(self, selector: str) -> PollHistory:
        """All stored samples of a selector that matches at most one series."""
        histories = await self.histories(selector)
        assert len(histories) <= 1
        return next(iter(histories.values()), {})


@asynccontextmanager
async def prometheus(
    path: str,
    directory: Path,
    targets: Mapping[str, str],
    interval: str,
    how: Mapping[str, object] | None = None,
    *flags: str,
    rules: Path | None = None,
) -> AsyncIterator[Database]:
    """Run a Prometheus that scrapes targets (`host:port` by job). The first scrape is after 5 s.

    `how` has further settings of each scrape configuration, `rules` is a directory of rules.
    """
    arguments = (
        f"--storage.tsdb.path={directory / 'data'}",
        f"--config.file={_configuration(directory, targets, interval, how or {}, rules)}",
        "--web.listen-address=127.0.0.1:0",
        "--scrape.discovery-reload-interval=100ms",
        "--storage.tsdb.retention.time=10y",  # tests may store samples this old
        "--log.level=debug",  # it logs problems with a page only at this level
        *flags,
    )
    async with _running(directory / "log", path, *arguments) as database:
        yield database


@asynccontextmanager
async def victoria_metrics(
    path: str, directory: Path, targets: Mapping[str, str], interval: str
) -> AsyncIterator[Database]:
    """Run a VictoriaMetrics that scrapes targets (`host:port` by job)."""
    arguments = (
        f"-storageDataPath={directory / 'data'}",
        f"-promscrape.config={_configuration(directory, targets, interval, {})}",
        "-httpListenAddr=127.0.0.1:0",
        "-search.latencyOffset=1ms",  # makes scraped samples available to queries at once
        "-search.disableCache",
        "-memory.allowedBytes=64MiB",
    )
    async with _running(directory / "log", path, *arguments) as database:
        yield database


@asynccontextmanager
async def _running(log: Path, *command: str) -> AsyncIterator[Database]:
    async with started(*command, log=log) as server:
        base_url = f"http://{await server.address()}"
        async with httpx.AsyncClient(
            base_url=base_url, timeout=TIMEOUTS, trust_env=False
        ) as client:

            async def ready() -> bool | None:
                answer = await client.get("/api/v1/query", params={"query": "1"})
                return answer.is_success or None

            await until(ready)
            yield Database(client, server)


def _configuration(
    directory: Path,
    targets: Mapping[str, str],
    interval: str,
    how: Mapping[str, object],
    rules: Path | None = None,
) -> Path:
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [address]}], **how}
        for job, address in targets.items()
    ]
    times = {"scrape_interval": interval, "scrape_timeout": interval}
    settings: dict[str, object] = {"global": times, "scrape_configs": jobs}
    if rules is not None:
        settings["global"] = {**times, "evaluation_interval": interval}
        settings["rule_files"] = [f"{rules}/*.yaml"]
    file = directory / "scrape.yml"
    file.write_text(json.dumps(settings))
    return file


def _series(metric: dict[str, str]) -> Series:
    return Series.of(metric.get("__name__", ""), metric)  # results of computations have no name


async def create_blocks(promtool: str, data: Path, lines: Iterator[str]) -> None:
    """Create blocks from lines of OpenMetrics for a Prometheus that is not running yet."""
    file = data.with_suffix(".om")
    file.write_text("".join(f"{line}\n" for line in lines))
    command = (promtool, "tsdb", "create-blocks-from", "openmetrics", str(file), str(data))
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    async with asyncio.timeout(TIMEOUTS):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
