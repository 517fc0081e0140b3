"""Finds real programs, starts them, waits for them and stops them.

Their configuration and use are in other modules.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

T = TypeVar("T")

TIMEOUTS = 60.0
"""Seconds after which a wait for another process fails."""

ASK_EVERY = 0.02  # seconds
END_SECONDS = 10.0


TOOLS = Path("/opt/flashback-exporter-tools")
"""Where `install-tools` puts the programs that are tested in two versions, each in a directory."""


def installed(name: str, generation: str) -> str | None:
    """The path of a program, or None. The oldest version comes only from `install-tools`."""
    path = shutil.which(name, path=str(TOOLS / generation))
    return path or (shutil.which(name) if generation == "current" else None)


def program(name: str, generation: str = "current") -> str:
    """The path of a program. If it is missing, the test is skipped, or fails in CI."""
    path = installed(name, generation)
    if path is None:
        reason = f"{name} ({generation}) is not installed: run make test-tools"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


async def until(ask: Callable[[], Awaitable[T | None]]) -> T:
    """Call `ask` until its result is not None, and return that. Raises TimeoutError."""
    async with asyncio.timeout(TIMEOUTS):
        while (answer := await ask()) is None:  # noqa: ASYNC110 - waits for another process
            await asyncio.sleep(ASK_EVERY)
    return answer


class Program:
    """A process that was started here, and its output."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log

    def output(self) -> str:
        """The program's output so far. Fails if the process has ended."""
        output = self._log.read_text()
        assert self._process.returncode is None, output
        return output

    async def printed(self, pattern: str) -> str:
        """Wait for a line that matches a pattern; returns its first group."""

        async def ask() -> str | None:
            found = re.search(pattern, self.output(), re.MULTILINE)
            return found and found[1]

        return await until(ask)

    async def address(self) -> str:
        """Wait until it listens; returns the `host:port`. For programs that listen on port 0."""

        async def ask() -> str | None:
            self.output()
            connections = psutil.Process(self._process.pid).net_connections("tcp4")
            found = [each.laddr for each in connections if each.status == psutil.CONN_LISTEN]
            return f"{found[0].ip}:{found[0].port}" if found else None

        return await until(ask)


@asynccontextmanager
async def started(*command: str, log: Path) -> AsyncIterator[Program]:
    """Run a process until the `with` block ends. All of its output goes to `log`."""
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


def check(promtool: str, *arguments: str) -> None:
    """Run promtool. If its exit code is not 0, fail with its output."""
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
