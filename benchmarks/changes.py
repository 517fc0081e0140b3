"""Very many buckets at once: found at the start by one account or by many, renamed by a reload."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import httpx

from benchmarks import stub
from benchmarks.measuring import process, server
from benchmarks.table import Row, megabytes, milliseconds
from benchmarks.whole import Figures, run

SPARE_SECONDS = 60.0
HOLD_AIM = "≤ 50 ms"


class Size(NamedTuple):
    """How much is done."""

    buckets: int
    found: int  # by many accounts together
    accounts: int


FULL = Size(buckets=10_000, found=3_000, accounts=100)
QUICK = Size(buckets=20, found=20, accounts=4)


class Reload(NamedTuple):
    """How a reload went."""

    seconds: float  # until it was answered
    first_byte: float  # seconds, the longest that a scrape waited for it meanwhile
    held: float  # CPU seconds of the event loop's longest turn


def compare(size: Size) -> list[Row]:
    """How long it takes, and how long it holds others up."""
    with server(partial(stub.serve, listed=size.buckets)) as api:
        found = _found(size.buckets, api.port, 1)
        with process(partial(run, size.buckets, api.port)) as (_, pipe):
            reload = asyncio.run(_reloaded(pipe, received(pipe)))
    by_one, by_many = (_found_by(size, accounts) for accounts in (1, size.accounts))
    return [*_rows(size, found, reload), *_rows_of_accounts(size, by_one, by_many)]


def _found_by(size: Size, accounts: int) -> Figures:
    with server(partial(stub.serve, listed=size.found, workspaces=accounts)) as api:
        return _found(size.found, api.port, accounts)


def _found(buckets: int, port: int, accounts: int) -> Figures:
    """How finding so many buckets at the start went."""
    with process(partial(run, buckets, port, finders=accounts)) as (_, pipe):
        received(pipe)
        pipe.send("begin")  # nobody is held up before it serves
        pipe.send("planned")
        return Figures(*received(pipe))


def _rows_of_accounts(size: Size, by_one: Figures, by_many: Figures) -> list[Row]:
    name = f"discovery of {size.found:,} in {size.accounts:,} accounts"
    one = "one account"
    return [
        Row(
            name,
            "CPU until all are known",
            milliseconds(by_many.planning),
            one,
            milliseconds(by_one.planning),
            "≤ 3 s",
        ),
        Row(
            name,
            "longest hold of the loop: CPU",
            milliseconds(by_many.held),
            one,
            milliseconds(by_one.held),
            HOLD_AIM,
        ),
        Row(
            name,
            "memory",
            megabytes(by_many.bytes),
            one,
            megabytes(by_one.bytes),
            "≤ 20 MB more",
        ),
    ]


def _rows(size: Size, found: Figures, reload: Reload) -> list[Row]:
    def row(name: str, what: str, seconds: float, aim: str) -> Row:
        return Row(name, what, milliseconds(seconds), "", None, aim)

    discovery = f"discovery of {size.buckets:,}"
    renaming = f"reload, {size.buckets:,} renamed"
    return [
        row(discovery, "start to all planned", found.planned, "≤ 1 s"),
        row(discovery, "longest hold of the loop: CPU", found.held, HOLD_AIM),
        row(renaming, "until it is answered", reload.seconds, "≤ 1 s"),
        row(renaming, "longest hold of the loop: CPU", reload.held, HOLD_AIM),
        row(renaming, "slowest first byte of a scrape", reload.first_byte, ""),
    ]


async def _reloaded(pipe: Connection, port: int) -> Reload:
    """Give each bucket another name while one scrape follows the other."""
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(timeout=SPARE_SECONDS, trust_env=False) as client:
        await first_byte(client, f"{url}/metrics")
        pipe.send("rename")
        pipe.send("begin")
        slowest, done = 0.0, asyncio.Event()

        async def scrape() -> None:
            nonlocal slowest
            while not done.is_set():
                slowest = max(slowest, await first_byte(client, f"{url}/metrics"))

        async with asyncio.TaskGroup() as group:
            group.create_task(scrape())
            started = time.monotonic()
            (await client.post(f"{url}/-/reload")).raise_for_status()
            took = time.monotonic() - started
            done.set()
    pipe.send("end")
    return Reload(took, slowest, Figures(*received(pipe)).held)


async def first_byte(client: httpx.AsyncClient, url: str) -> float:
    """Seconds until a scrape's first byte; the rest is read too."""
    started = time.monotonic()
    async with client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as response:
        response.raise_for_status()
        pieces = response.aiter_raw()
        await anext(pieces)
        took = time.monotonic() - started
        async for _ in pieces:
            pass
    return took


def received(pipe: Connection) -> Any:  # noqa: ANN401 - what a process of ours has sent
    """What the process has to say. Raises TimeoutError."""
    if not pipe.poll(2 * SPARE_SECONDS):
        raise TimeoutError("the exporter's process does not answer")
    return pipe.recv()
