"""Runs a backfill: selects the buckets, then processes day after day.

Each bucket is fetched by the account that live polling would use; shards do not apply. `day`
processes a single day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import Protocol

import structlog

from exporter.backfill.day import Day, days, label_suffix, missing
from exporter.backfill.failures import FailedBucket, Failures
from exporter.backfill.fetch import Fetcher
from exporter.backfill.output import FAILED, Output
from exporter.blocking import in_thread
from exporter.clock import Clock
from exporter.config import Account, Config
from exporter.upstream.discovery import Assignment, DiscoveryState, assign, filtered
from exporter.upstream.transport import Connect, connector

_log = structlog.get_logger()


class UnknownBucketsError(Exception):
    """No account polls the named buckets; the text lists them.

    `may_exist`: discovery failed for an account, so the buckets may exist.
    """

    def __init__(self, ids: list[str], *, may_exist: bool) -> None:
        lines = [f"--bucket: no account polls a bucket {each!r}" for each in ids]
        if may_exist:
            lines.append("but discovery failed for some accounts, so the buckets may exist")
        super().__init__("\n".join(lines))
        self.may_exist = may_exist


async def assignments(
    config: Config, wanted: Collection[str], fetcher: Fetcher, failures: Failures
) -> list[Assignment]:
    """The wanted buckets, or all if none is named. Raises UnknownBucketsError.

    A failed discovery is added to the failures. Discovery is skipped if all wanted buckets are
    configured.
    """
    static = {bucket.id for bucket in config.buckets()}
    discovery_states: dict[str, DiscoveryState] = {}
    if not wanted or not static.issuperset(wanted):
        discovery_states = await _discovery_states(config, fetcher, failures)
    assigned = assign(config.accounts, discovery_states)
    known = {each.bucket.id: each for each in assigned.assignments}
    unknown = [each for each in wanted if each not in known]
    if unknown:
        raise UnknownBucketsError(sorted(unknown), may_exist=failures.count > 0)
    if assigned.conflicts:
        _log.warning("buckets_in_several_accounts", count=len(assigned.conflicts))
    return [each for bucket_id, each in known.items() if not wanted or bucket_id in wanted]


async def _discovery_states(
    config: Config, fetcher: Fetcher, failures: Failures
) -> dict[str, DiscoveryState]:
    accounts = [account for account in config.accounts if account.discovery is not None]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetcher.discovery_state(account)) for account in accounts]
    discovery_states = [task.result() for task in tasks]
    for account, discovery_state in zip(accounts, discovery_states, strict=True):
        # Outside the group, so that an OSError (full disk) is not wrapped in an ExceptionGroup.
        _note(account, discovery_state, failures)
    return {
        account.name: discovery_state
        for account, discovery_state in zip(accounts, discovery_states, strict=True)
    }


def _note(account: Account, discovery_state: DiscoveryState, failures: Failures) -> None:
    if discovery_state.error is not None:
        failures.note(FailedBucket(account.name, None, None, discovery_state.error))
        return
    polled = len(filtered(account, discovery_state))
    log = _log.info if polled else _log.warning
    log("buckets_discovered", account=account.name, found=len(discovery_state.found), polled=polled)


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """Which days, from `first` to `last`, and which buckets; all if empty."""

    first: date
    last: date
    buckets: frozenset[str]
    labels: Mapping[str, str]
    output: Path


class Progress(Protocol):
    """Receives the progress of a run."""

    def begin(self, total: int) -> None: ...

    def advance(self, number: int) -> None: ...


class Backfill:
    """One run. Afterwards `failures`, `files` and `is_finished` have its results."""

    def __init__(
        self,
        config: Config,
        options: BackfillOptions,
        clock: Clock,
        rng: Random,
        progress: Progress,
        *,
        connect: Connect | None = None,
    ) -> None:
        self.failures = Failures()
        self.files = 0
        self.is_finished = False
        self._config = config
        self._options = options
        self._clock = clock
        self._rng = rng
        self._progress = progress
        self._connect = connect or connector()
        self._output = Output(options.output)
        self._suffix = label_suffix(options.labels)

    async def run(self) -> None:
        """Process all days. Raises OutputError and UnknownBucketsError."""
        fetcher = Fetcher(self._config, self._clock, self._rng, self._advance, self._connect)
        async with fetcher.connected():
            with ExitStack() as stack:
                held = self._output.held(self._options.labels)
                await in_thread(lambda: stack.enter_context(held))
                failed = self._output.scratch / FAILED
                try:
                    with failed.open("w") as stream, self.failures.written_to(stream):
                        await self._process_days(fetcher)
                except asyncio.CancelledError:
                    self._output.put(failed, FAILED)
                    raise
                self._output.put(failed, FAILED)
        self.is_finished = True

    async def _process_days(self, fetcher: Fetcher) -> None:
        wanted = self._options.buckets
        assigned = await assignments(self._config, wanted, fetcher, self.failures)
        period = list(days(self._options.first, self._options.last))
        self._progress.begin(len(period) * len(assigned))
        for day in period:
            await self._process_day(day, assigned, fetcher)

    async def _process_day(self, day: date, assigned: list[Assignment], fetcher: Fetcher) -> None:
        now = self._clock.now().wall
        record = await in_thread(lambda: self._output.record(day))
        asked = list(missing(day, record, assigned, now))
        self._progress.advance(len(assigned) - len(asked))
        if asked:
            work = Day(day, record, asked, now, self.failures)
            name = await work.process(fetcher, self._output, self._suffix)
            self.files += name is not None

    def _advance(self) -> None:
        self._progress.advance(1)
