"""Another configuration for a running exporter: one path for signal, request and timer.

Parse wholly, then swap: a file that cannot be used leaves the old configuration running, and the
log, the metrics and the answer to the request say so. Files are read and looked at in threads.
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
"""How long reading and parsing a configuration may take: ten thousand buckets take about a second
of CPU, a file system that hangs has no end."""

LOOK_SECONDS = 5.0
"""How long it may take to look whether files have changed."""

_log = structlog.get_logger()


async def read_in_time(clock: Clock, read: Callable[[], T]) -> T:
    """What `read` makes of a configuration's files. Raises ConfigError, also where it is late."""
    return await _in_time(BlockingCalls(clock, READ_SECONDS), read)


async def _in_time(calls: BlockingCalls, read: Callable[[], T]) -> T:
    try:
        return await calls.run(read)
    except TimeoutError as error:
        what = "the configuration, or a file that it names, could not be read within"
        message = f"{what} {READ_SECONDS:g}s: is the mount hanging?"
        raise ConfigError([Problem("", None, "", message)]) from error


class ConfigFiles:
    """The files of a configuration: read, and looked at for what has changed since.

    `load` is called in a thread. `clock` is for deadlines of what the machine itself does.
    """

    def __init__(self, load: Callable[[], Config], clock: Clock) -> None:
        self._load = load
        self._reads = BlockingCalls(clock, READ_SECONDS)
        self._looks = BlockingCalls(clock, LOOK_SECONDS)
        self._at_work = Sources()
        self._seen: Sources | None = None
        """How the files were just before they were last read; None: that did not come to an end."""
        self._is_at_work = False

    async def load(self) -> Config:
        """The configuration as the files say it now. Raises ConfigError."""
        before = await self._now(self._at_work)
        self._seen, self._is_at_work = None, False
        try:
            config = await _in_time(self._reads, self._load)
        except ConfigError as error:
            if error.sources is not None:
                self._seen = (before or self._at_work) | error.sources
            raise
        self._seen = config.sources
        return config

    def note_at_work(self, config: Config) -> None:
        """The configuration that was loaded last could be used."""
        self._at_work, self._is_at_work = config.sources, True

    async def have_changed(self, *, everything: bool) -> bool:
        """Whether a file is not as it was before the newest load, or cannot be looked at in time.

        Bucket files, and those for TLS where that load was of no use; else `everything`.
        """
        if self._seen is None:
            return True
        watched = self._seen
        if not everything:
            watched = replace(watched, config={}, tls={} if self._is_at_work else watched.tls)
        return await self._now(watched) != watched

    async def _now(self, sources: Sources) -> Sources | None:
        try:
            return await self._looks.run(sources.look)
        except TimeoutError:
            return None


class Reloader:
    """Loads, applies and reports; never two reloads at once.

    `apply` says whether it is another configuration than the one at work. Whoever sets
    `requested`, such as a signal's handler, gets a reload soon.
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
        self._problems: str | None = None  # what the newest reload met

    async def run(self) -> None:
        while True:
            await self._requested.wait()
            self._requested.clear()
            await self.reload()

    async def watch(self, interval: float, *, everything: bool) -> None:
        """Reload whenever files have changed since they were read; looked at once per interval.

        What it looks at is said by `ConfigFiles.have_changed`.
        """
        while True:
            await self._clock.sleep(interval)
            if await self._files.have_changed(everything=everything):
                await self.reload(is_asked_for=False)

    async def reload(self, *, is_asked_for: bool = True) -> str | None:
        """Load and apply the configuration; None, or why the old one runs on.

        What nobody asked for and is no news, as the same content or the same problems, is not told.
        """
        async with self._one_at_a_time:
            try:
                config = await self._files.load()
                is_news = await self._apply(config)
            except (ConfigError, OSError) as error:
                problems = str(error)
                if is_asked_for or problems != self._problems:
                    _log.error("config_reload_failed", problems=problems)
                    self._refused(problems)
                self._problems = problems
                return problems
            self._files.note_at_work(config)
            if is_asked_for or is_news or self._problems is not None:
                _log.info(
                    "config_reloaded", accounts=len(config.accounts), buckets=len(config.buckets())
                )
            self._problems = None
            return None
