"""Reloads the configuration, in the same way for a signal, a request and a timer.

The new configuration is loaded completely before it replaces the old one. If it cannot be used, the
old one stays active, and the log, the metrics and the HTTP response say so. Files are read and
checked in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import structlog

from exporter.blocking import BlockingCalls
from exporter.clock import Clock
from exporter.config import Config, ConfigError, Problem, Sources

T = TypeVar("T")

READ_SECONDS = 60.0
"""Seconds for reading and parsing a configuration.

Ten thousand buckets take about one second of CPU time. A hanging file system never responds.
"""

LOOK_SECONDS = 5.0
"""Seconds for checking whether files have changed."""

_log = structlog.get_logger()


async def read_in_time(clock: Clock, read: Callable[[], T]) -> T:
    """The result of `read`. Raises ConfigError, also if that takes too long."""
    return await _in_time(BlockingCalls(clock, READ_SECONDS), read)


async def _in_time(calls: BlockingCalls, read: Callable[[], T]) -> T:
    try:
        return await calls.run(read)
    except TimeoutError as error:
        what = "the configuration, or a file that it names, could not be read within"
        message = f"{what} {READ_SECONDS:g}s: check for a hung mount"
        raise ConfigError([Problem("", None, "", message)]) from error


class ConfigFiles:
    """The files of a configuration: loads them, and checks whether they have changed since.

    `load` is called in a thread. `clock` is for deadlines of file access, so it must be real time.
    """

    def __init__(self, load: Callable[[], Config], clock: Clock) -> None:
        self._load = load
        self._reads = BlockingCalls(clock, READ_SECONDS)
        self._looks = BlockingCalls(clock, LOOK_SECONDS)
        self._active = Sources()
        self._seen: Sources | None = None
        """The files as they were just before the last load; None if that load did not finish."""
        self._is_active = False

    async def load(self) -> Config:
        """Load the configuration from the files. Raises ConfigError."""
        before = await self._now(self._active)
        self._seen, self._is_active = None, False
        try:
            config = await _in_time(self._reads, self._load)
        except ConfigError as error:
            if error.sources is not None:
                self._seen = (before or self._active) | error.sources
            raise
        self._seen = config.sources
        return config

    def note_active(self, config: Config) -> None:
        """Note that the configuration loaded last is now active."""
        self._active, self._is_active = config.sources, True

    async def have_changed(self, *, everything: bool) -> bool:
        """Whether a file has changed since the last load, or cannot be checked in time.

        Checks bucket files, and TLS files if the last load could not be applied. With `everything`,
        checks all files.
        """
        if self._seen is None:
            return True
        watched = self._seen
        if not everything:
            watched = replace(watched, config={}, tls={} if self._is_active else watched.tls)
        return await self._now(watched) != watched

    async def _now(self, sources: Sources) -> Sources | None:
        try:
            return await self._looks.run(sources.look)
        except TimeoutError:
            return None


class Reloader:
    """Loads and applies configurations, one at a time, and reports the result.

    `apply` returns whether the configuration differs from the active one. Setting `requested`
    triggers a reload: signal handlers do that.
    """

    def __init__(
        self,
        files: ConfigFiles,
        apply: Callable[[Config], Awaitable[bool]],
        refused: Callable[[str], None],
        clock: Clock,
        requested: asyncio.Event,
    ) -> None:
        self._files = files
        self._apply = apply
        self._refused = refused
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._requested = requested
        self._problems: str | None = None  # of the last reload, if it failed

    async def run(self) -> None:
        while True:
            await self._requested.wait()
            self._requested.clear()
            await self.reload()

    async def watch(self, interval: float, *, everything: bool) -> None:
        """Reload when files have changed, checked once per `interval`.

        `ConfigFiles.have_changed` says which files are checked.
        """
        while True:
            await self._clock.sleep(interval)
            if await self._files.have_changed(everything=everything):
                await self.reload(is_requested=False)

    async def reload(self, *, is_requested: bool = True) -> str | None:
        """Load and apply the configuration; returns None, or why the old one stays active.

        A reload by `watch` is logged only if its result is new: not for an unchanged
        configuration, nor for the same problems again.
        """
        async with self._one_at_a_time:
            try:
                config = await self._files.load()
                has_changed = await self._apply(config)
            except (ConfigError, OSError) as error:
                problems = str(error)
                if is_requested or problems != self._problems:
                    _log.error("config_reload_failed", problems=problems)
                    self._refused(problems)
                self._problems = problems
                return problems
            self._files.note_active(config)
            if is_requested or has_changed or self._problems is not None:
                _log.info(
                    "config_reloaded", accounts=len(config.accounts), buckets=len(config.buckets())
                )
            self._problems = None
            return None
