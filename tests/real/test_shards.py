"""Shards as processes, and what one real Prometheus has of all of them together."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

import httpx

from exporter import simulator
from tests.real.databases import Database, Series, prometheus
from tests.real.programs import started, until
from tests.stack import document

if TYPE_CHECKING:
    from pathlib import Path

IDS = tuple(f"bucket-{number}" for number in range(60))
SCRAPE_SECONDS = 12
"""Longer than four processes take to start one after the other on a busy machine."""

POLL_SECONDS = 12


class Fleet:
    """Shards that are processes, each on a port of its own."""

    def __init__(self, directory: Path, config: Path, count: int) -> None:
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        self._directory = directory
        self._config = config
        self._running: dict[int, AsyncExitStack] = {}

    async def start(self, ordinal: int, total: int) -> None:
        """Start a shard, and return when it is ready, as a StatefulSet waits for it."""
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

    async def stop(self, ordinal: int) -> None:
        """Stop a shard, and return when it is gone."""
        await self._running.pop(ordinal).aclose()

    async def stop_all(self) -> None:
        """Stop whatever runs."""
        for ordinal in list(self._running):
            await self.stop(ordinal)


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


async def is_ready(address: str) -> bool | None:
    """Whether a shard has polled its buckets once."""
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            answer = await client.get(f"http://{address}/-/ready")
        except httpx.TransportError:
            return None
    return answer.is_success or None


async def one_each(database: Database) -> float | None:
    """The moment at which Prometheus has every bucket exactly once."""
    now = time.time()
    counts = await database.samples(f"{COUNTS} > 0", now)
    return now if counts == {bucket(each): 1 for each in IDS} else None


COUNTS = "count by (bucket_id) (flashback_bucket_nodes)"


def bucket(bucket_id: str) -> Series:
    """What COUNTS calls a bucket."""
    return Series.of("", {"bucket_id": bucket_id})


async def longest(database: Database, condition: str, since: float) -> float:
    """For how long at most, in seconds, something held of a bucket, looked at every second."""
    data = await database.get(
        "query_range", query=f"{COUNTS} {condition}", start=since, end=time.time(), step=1
    )
    spans = [0.0]
    for series in data["result"]:
        moments = [at for at, _ in series["values"]]
        start = moments[0]
        for before, now in zip(moments, [*moments[1:], inf], strict=True):
            if now - before > 1:
                spans.append(before - start + 1)
                start = now
    return max(spans)


async def longest_gap(database: Database, since: float) -> float:
    """For how long at most a bucket was not there at all."""
    data = await database.get("query_range", query=COUNTS, start=since, end=time.time(), step=1)
    gaps = [0.0]
    for series in data["result"]:
        moments = [at for at, _ in series["values"]]
        gaps += [now - before - 1 for before, now in pairwise(moments)]
    assert len(data["result"]) == len(IDS)
    return max(gaps)


async def test_a_fourth_shard_joins_by_rolling_restart(
    prometheus_path: str, tmp_path: Path
) -> None:
    """Every bucket is on exactly one shard before and after, and hardly otherwise in between."""
    config = tmp_path / "config.yaml"
    api = simulator.Simulator(now=time.time)
    fleet = Fleet(tmp_path, config, 4)
    jobs = {f"shard-{ordinal}": address for ordinal, address in enumerate(fleet.addresses)}
    interval = f"{SCRAPE_SECONDS}s"
    async with (
        simulator.serve(api) as url,
        prometheus(prometheus_path, tmp_path, jobs, interval) as database,
        AsyncExitStack() as stack,
    ):
        stack.push_async_callback(fleet.stop_all)
        config.write_text(document(url, buckets=IDS, poll_interval=f"{POLL_SECONDS}s"))
        for ordinal in range(3):
            await fleet.start(ordinal, 3)
        since = await until(partial(one_each, database))
        assert sum((await database.samples("sum(flashback_bucket_nodes)", since)).values()) == 360
        began = time.time()
        await fleet.start(3, 4)
        for ordinal in (2, 1, 0):
            await fleet.stop(ordinal)
            await fleet.start(ordinal, 4)
        rolled_out = time.time()

        async def settled() -> float | None:
            return await one_each(database) if time.time() > rolled_out + SCRAPE_SECONDS else None

        end = await until(settled)
        fewest = await database.samples("min(flashback_exporter_shards)", end)
        doubled, missing = await longest(database, "> 1", since), await longest_gap(database, since)
    assert set(fewest.values()) == {4}
    assert doubled <= max(SCRAPE_SECONDS, rolled_out - began) + 1
    assert missing <= POLL_SECONDS + 1
