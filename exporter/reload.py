"""Another configuration for a running exporter: one path for signal, request and timer.

Parse wholly, then swap: a file that cannot be used leaves the old configuration running, and the
log, the metrics and the answer to the request say so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from exporter.config import ConfigError, signature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from exporter.clock import Clock
    from exporter.config import Config

_log = structlog.get_logger()


class Reloader:
    """Loads, applies and reports; never two reloads at once.

    Whoever sets `requested`, such as a signal's handler, gets a reload soon.
    """

    def __init__(
        self,
        load: Callable[[], Config],
        apply: Callable[[Config], Awaitable[None]],
        refused: Callable[[str], None],
        clock: Clock,
        requested: asyncio.Event,
    ) -> None:
        self._load = load
        self._apply = apply
        self._refused = refused
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._requested = requested
        self._broken: ConfigError | None = None  # what the newest reload met
        self._broken_files: object = None  # and how the files were that it named

    async def run(self) -> None:
        """Answer requests until cancelled."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            await self.reload()

    async def watch(self, look: Callable[[], object], interval: float) -> None:
        """Reload whenever what `look` sees of the files has changed; looked at once per interval.

        Files that only a configuration names which could not be used are looked at, too.
        """
        seen = look()
        while True:
            await self._clock.sleep(interval)
            now = look()
            if now != seen or self._may_be_mended():
                await self.reload()
                seen = now

    async def reload(self) -> str | None:
        """Load and apply the configuration; None, or why the old one runs on."""
        async with self._one_at_a_time:
            try:
                # In a thread: a large file takes a while, and scrapes and polls go on meanwhile.
                config = await asyncio.to_thread(self._load)
                await self._apply(config)
            except (ConfigError, OSError) as error:
                self._remember(error if isinstance(error, ConfigError) else None)
                problems = str(error)
                _log.error("config_reload_failed", problems=problems)
                self._refused(problems)
                return problems
            self._remember(None)
            _log.info(
                "config_reloaded", accounts=len(config.accounts), buckets=len(config.buckets())
            )
            return None

    def _remember(self, broken: ConfigError | None) -> None:
        self._broken = broken
        self._broken_files = None if broken is None else signature(broken)

    def _may_be_mended(self) -> bool:
        return self._broken is not None and signature(self._broken) != self._broken_files
