"""Real programs: where they are, and how they are started, waited for and ended.

What they are told and asked is not decided here.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

T = TypeVar("T")

TIMEOUTS = 60.0
"""Seconds after which something that should have happened in another process never will."""

ASK_EVERY = 0.02  # seconds
END_SECONDS = 10.0


TOOLS = Path("/opt/flashback-exporter-tools")
"""Where `install-tools` unpacks programs of which it takes two generations, a folder each."""


def installed(name: str, generation: str) -> str | None:
    """The path of a program; the oldest that we promise comes from `install-tools` alone."""
    path = shutil.which(name, path=str(TOOLS / generation))
    return path or (shutil.which(name) if generation == "current" else None)


def program(name: str, generation: str = "current") -> str:
    """The path of a program; where it is missing the test is skipped, or fails in CI."""
    path = installed(name, generation)
    if path is None:
        reason = f"{name} ({generation}) is not installed: run make test-tools"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


async def until(ask: Callable[[], Awaitable[T | None]]) -> T:
    """The first answer that is not None. Raises TimeoutError where none comes."""
    async with asyncio.timeout(TIMEOUTS):
        while (answer := await ask()) is None:  # noqa: ASYNC110 - waits for another process
            await asyncio.sleep(ASK_EVERY)
    return answer


class Program:
    """A process that was started here, and what it prints."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log

    def output(self) -> str:
        """Everything it has printed so far; fails where it is not running any more."""
        output = self._log.read_text()
        assert self._process.returncode is None, output
        return output

    async def printed(self, pattern: str) -> str:
        """What the first group of a pattern matches, once there is a line that has it."""

        async def ask() -> str | None:
            found = re.search(pattern, self.output(), re.MULTILINE)
            return found and found[1]

        return await until(ask)

    async def address(self) -> str:
        """Where it listens, as `host:port`, once it does; it was told to take any free port."""

        async def ask() -> str | None:
            self.output()
            connections = psutil.Process(self._process.pid).net_connections("tcp4")
            found = [each.laddr for each in connections if each.status == psutil.CONN_LISTEN]
            return f"{found[0].ip}:{found[0].port}" if found else None

        return await until(ask)


@asynccontextmanager
async def started(*command: str, log: Path) -> AsyncIterator[Program]:
    """A process that runs while the body does; everything it prints goes to `log`."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        yield Program(process, log)
    finally:
        await _ended(process)


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
