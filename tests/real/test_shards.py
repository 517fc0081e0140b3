"""Several shards as processes, scraped by one real Prometheus."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from exporter import simulator
from exporter.simulator.server import serve
from tests.harness.stack import document
from tests.real.databases import Database, Series, prometheus
from tests.real.programs import started, until

IDS = tuple(f"bucket-{number}" for number in range(60))
SCRAPE_SECONDS = 12
"""Longer than starting four processes one after another takes on an idle machine."""

POLL_SECONDS = 12


class Fleet:
    """Shards as processes, each on its own port."""

    def __init__(self, directory: Path, config: Path, count: int) -> None:
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        self._directory = directory
        self._config = config
        self._running: dict[int, AsyncExitStack] = {}
        self.longest_start = 0.0  # seconds

    async def start(self, ordinal: int, total: int) -> None:
        """Start a shard and wait until it is ready, as a StatefulSet does."""
        began = time.monotonic()
        stack = self._running[ordinal] = AsyncExitStack()
        command = (
            *(sys.executable, "-m", "exporter", f"--config.file={self._config}"),
            f"--web.listen-address={self.addresses[ordinal]}",
            f"--shard.ordinal={ordinal}",
            f"--shard.total={total}",
        )
        log = self._directory / f"shard-{ordinal}-of-{total}.log"
        await stack.enter_async_context(started(*command, log=log))
        await until(partial(is_ready, self.addresses[ordinal]))
        self.longest_start = max(self.longest_start, time.monotonic() - began)

    async def stop(self, ordinal: int) -> None:
        """Stop a shard and wait until it has exited."""
        await self._running.pop(ordinal).aclose()

    async def stop_all(self) -> None:
        """Stop all running shards."""
        for ordinal in list(self._running):
            await self.stop(ordinal)


def free_ports(count: int) -> list[int]:
    """Ports that are not in use."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


async def is_ready(address: str) -> bool | None:
    """Whether a shard has finished its first round of polls."""
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            answer = await client.get(f"http://{address}/-/ready")
        except httpx.TransportError:
            return None
    return answer.is_success or None


async def one_each(database: Database) -> float | None:
    """The time at which Prometheus has every bucket exactly once, or None."""
    now = time.time()
    counts = await database.samples(f"{COUNTS} > 0", now)
    return now if counts == {bucket(each): 1 for each in IDS} else None


COUNTS = "count by (bucket_id) (flashback_bucket_nodes)"


def bucket(bucket_id: str) -> Series:
    """The series of a bucket in the result of COUNTS."""
    return Series.of("", {"bucket_id": bucket_id})


async def doubled_scrapes(database: Database, since: float) -> int:
    """The highest number of scrapes in which two shards had the same bucket."""
    now = time.time()
    query = f"flashback_bucket_nodes[{now - since:.0f}s]"
    data = await database.get("query", query=query, time=now)
    scrapes: defaultdict[str, list[tuple[str, list[float]]]] = defaultdict(list)
    for series in data["result"]:
        labels, moments = series["metric"], [at for at, _ in series["values"]]
        scrapes[labels["bucket_id"]].append((labels["job"], moments))
    assert set(scrapes) == set(IDS)
    return max(
        (
            sum(at >= moments[0] for at in others)
            for shards in scrapes.values()
            for job, moments in shards
            for other, others in shards
            if other != job and others[0] < moments[0]
        ),
        default=0,
    )


async def longest_gap(database: Database, since: float) -> float:
    """The longest time in seconds during which a bucket was missing."""
    data = await database.get("query_range", query=COUNTS, start=since, end=time.time(), step=1)
    gaps = [0.0]
    for series in data["result"]:
        moments = [at for at, _ in series["values"]]
        gaps += [now - before - 1 for before, now in pairwise(moments)]
    assert len(data["result"]) == len(IDS)
    return max(gaps)


async def one_after_the_other(fleet: Fleet) -> None:
    """Roll out like a StatefulSet: the new shard first, then the highest ordinal, and so on."""
    await fleet.start(3, 4)
    for ordinal in (2, 1, 0):
        await fleet.stop(ordinal)
        await fleet.start(ordinal, 4)


async def all_at_once(fleet: Fleet) -> None:
    """Roll out like a StatefulSet that may have all its pods unavailable."""

    async def again(ordinal: int) -> None:
        await fleet.stop(ordinal)
        await fleet.start(ordinal, 4)

    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.start(3, 4))
        for ordinal in range(3):
            group.create_task(again(ordinal))


@pytest.mark.long
@pytest.mark.parametrize("roll_out", [one_after_the_other, all_at_once])
async def test_a_fourth_shard_joins_by_restart(
    prometheus_path: str, tmp_path: Path, roll_out: Callable[[Fleet], Awaitable[None]]
) -> None:
    """When a fourth shard is added, each bucket is on exactly one shard before and after.

    During the rollout, no bucket is doubled in more than one scrape, and none is missing for longer
    than an interval. On a slow machine, more is allowed: the scrapes that fit into the rollout.
    """
    config = tmp_path / "config.yaml"
    api = simulator.Simulator(now=time.time)
    fleet = Fleet(tmp_path, config, 4)
    jobs = {f"shard-{ordinal}": address for ordinal, address in enumerate(fleet.addresses)}
    interval = f"{SCRAPE_SECONDS}s"
    async with (
        serve(api) as url,
        prometheus(prometheus_path, tmp_path, jobs, interval) as database,
        AsyncExitStack() as stack,
    ):
        stack.push_async_callback(fleet.stop_all)
        config.write_text(document(url, buckets=IDS, poll_interval=f"{POLL_SECONDS}s"))
        async with asyncio.TaskGroup() as group:
            for ordinal in range(3):
                group.create_task(fleet.start(ordinal, 3))
        since = await until(partial(one_each, database))
        assert sum((await database.samples("sum(flashback_bucket_nodes)", since)).values()) == 360
        began = time.time()
        await roll_out(fleet)
        rolled_out = time.time()

        async def settled() -> float | None:
            return await one_each(database) if time.time() > rolled_out + SCRAPE_SECONDS else None

        end = await until(settled)
        fewest = await database.samples("min(flashback_exporter_shards)", end)
        doubled = await doubled_scrapes(database, since)
        missing = await longest_gap(database, since)
    assert set(fewest.values()) == {4}
    assert doubled <= 1 + (rolled_out - began) // SCRAPE_SECONDS
    assert missing <= POLL_SECONDS * (1 + fleet.longest_start // SCRAPE_SECONDS) + 1
