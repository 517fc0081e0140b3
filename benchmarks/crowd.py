"""The whole exporter with 10,000 buckets, beside itself with 1,000, both at work at the same time.

The service as the command starts it, against the fast stub, polled and scraped as in real life:
every bucket once a minute, two scrapes with gzip every fifteen seconds.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from typing import NamedTuple

import httpx

from benchmarks import stub
from benchmarks.changes import SPARE_SECONDS, first_byte, received
from benchmarks.measuring import process, server
from benchmarks.scraping import SCRAPE_INTERVAL
from benchmarks.table import Quantity, Row, megabytes, milliseconds
from benchmarks.whole import INTERVAL, Figures, run

STEADY = 3.0
"""Seconds after what a start brings, so that what it leaves behind is not counted."""


class Size(NamedTuple):
    """How much is done."""

    buckets: int
    fewer: int
    seconds: float


FULL = Size(buckets=10_000, fewer=1_000, seconds=INTERVAL)
QUICK = Size(buckets=20, fewer=10, seconds=1)


def compare(size: Size) -> list[Row]:
    """What a crowd of buckets costs, in all and per bucket."""
    with server(stub.serve) as api, ExitStack() as stack:
        pipes = [
            stack.enter_context(process(partial(run, buckets, api.port)))[1]
            for buckets in (size.buckets, size.fewer)
        ]
        ports: list[int] = [received(pipe) for pipe in pipes]
        asyncio.run(_first_rounds(ports))
        _tell(pipes, "begin")
        _tell(pipes, "settled")
        catching_up, _ = _figures(pipes)
        time.sleep(STEADY)
        _tell(pipes, "begin")
        slowest = asyncio.run(_scraping(ports, size.seconds))
        _tell(pipes, "end")
        many, few = _figures(pipes)
    return _rows(size, catching_up, many, few, slowest)


def _tell(pipes: list[Connection], word: str) -> None:
    for pipe in pipes:
        pipe.send(word)


def _figures(pipes: list[Connection]) -> list[Figures]:
    return [Figures(*received(pipe)) for pipe in pipes]


def _rows(
    size: Size, catching_up: Figures, many: Figures, few: Figures, first_byte: float
) -> list[Row]:
    """`catching_up`: of the time after the first round in which previous days were asked for."""
    name = f"{size.buckets:,} buckets"
    fewer = f"{size.fewer:,} buckets"

    def alone(what: str, figure: Quantity, aim: str) -> Row:
        return Row(name, what, figure, "", None, aim)

    return [
        alone("CPU", _share(many), "≤ 20 %"),
        alone("CPU, each asked for its previous day too", _share(catching_up), ""),
        alone("memory now", megabytes(many.bytes), "≤ 250 MB"),
        alone("latest poll", milliseconds(many.late), "≤ 1 s"),
        alone("failures", Quantity(many.failures, f"of {many.polls:,}"), "0"),
        alone("longest hold of the loop: CPU", milliseconds(many.held), "≤ 50 ms"),
        alone("slowest first byte of a scrape", milliseconds(first_byte), "≤ 50 ms"),
        alone("start to first poll", milliseconds(many.first_poll), "≤ 2 s"),
        Row(
            name,
            "CPU of a poll, all in",
            milliseconds(many.cpu_share / many.rate),
            fewer,
            milliseconds(few.cpu_share / few.rate),
            "≤ 1.15 x",
        ),
        Row(
            name,
            "memory per bucket",
            Quantity(many.grown / size.buckets / 1e3, "kB"),
            fewer,
            Quantity(few.grown / size.fewer / 1e3, "kB"),
            "≤ 1.15 x",
        ),
    ]


def _share(found: Figures) -> Quantity:
    return Quantity(100 * found.cpu_share, "% of a core")


async def _first_rounds(ports: list[int]) -> None:
    """Return when all have polled each of their buckets."""
    async with (
        asyncio.timeout(INTERVAL + SPARE_SECONDS),
        httpx.AsyncClient(trust_env=False) as client,
    ):
        for port in ports:
            ready = f"http://127.0.0.1:{port}/-/ready"
            # Another process's event.
            while not (await client.get(ready)).is_success:  # noqa: ASYNC110
                await asyncio.sleep(0.2)


async def _scraping(ports: list[int], seconds: float) -> float:
    """Scrape all again and again, twice each; the longest that a first byte of the first took."""
    slowest = 0.0
    end = time.monotonic() + seconds
    async with httpx.AsyncClient(timeout=SPARE_SECONDS, trust_env=False) as client:
        while True:
            for port in ports * 2:
                took = await first_byte(client, f"http://127.0.0.1:{port}/metrics")
                if port == ports[0]:
                    slowest = max(slowest, took)
            rest = end - time.monotonic()
            if rest <= 0:
                return slowest
            await asyncio.sleep(min(SCRAPE_INTERVAL, rest))
