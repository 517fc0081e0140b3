"""Load on a web server: wrk where there is one, else a client in a process of its own."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from functools import partial
from multiprocessing.connection import Connection

import aiohttp

from benchmarks.measuring import process

CONNECTIONS = 4
WRK = shutil.which("wrk")
SPARE_SECONDS = 30.0


class BadLoadError(Exception):
    """Requests failed: the figures would mean nothing."""


def generator() -> str:
    """What makes the load, for people."""
    return "wrk" if WRK else "an aiohttp client, as wrk is not installed"


def requests_answered(url: str, seconds: float) -> int:
    """How many GETs over CONNECTIONS connections are answered in `seconds`."""
    if WRK:
        return _wrk(WRK, url, seconds)
    with process(partial(_ask, url, seconds)) as (_, pipe):
        if not pipe.poll(seconds + SPARE_SECONDS):
            raise BadLoadError("the load generator does not answer")
        return int(pipe.recv())


def _wrk(program: str, url: str, seconds: float) -> int:
    # wrk knows whole seconds only.
    command = [program, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", url]
    printed = subprocess.run(  # noqa: S603 - no shell
        command, capture_output=True, text=True, check=True, timeout=seconds + SPARE_SECONDS
    ).stdout
    return printed_to_requests(printed)


def printed_to_requests(printed: str) -> int:
    """The number of requests that wrk says were answered. Raises BadLoadError."""
    found = re.search(r"(\d+) requests in", printed)
    if found is None or "Non-2xx" in printed:
        raise BadLoadError(printed)
    return int(found[1])


def _ask(url: str, seconds: float, pipe: Connection) -> None:
    pipe.send(asyncio.run(_asked(url, seconds)))


async def _asked(url: str, seconds: float) -> int:
    end = time.monotonic() + seconds
    answered = 0

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        while time.monotonic() < end:
            async with session.get(url) as response:
                await response.read()
            answered += 1

    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(CONNECTIONS):
            group.create_task(ask(session))
    return answered
