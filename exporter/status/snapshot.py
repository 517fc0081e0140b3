"""The running exporter as a board: the facts from which pages and JSON are made.

It asks and hands on; what the facts mean is decided in `status`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from exporter import config
from exporter.clock import Clock
from exporter.metrics.store import Entry
from exporter.model import BucketKey, Instant
from exporter.polling.history import PollRecord
from exporter.polling.manager import PollManager
from exporter.polling.scheduler import ScheduledPoll
from exporter.status.facts import AccountStatus, ConfigState, DiscoveryStatus, NextPoll, Process
from exporter.upstream.discovery import DiscoveryState, filtered
from exporter.version import VERSION


class _Refused(NamedTuple):
    """A configuration that could not be used."""

    instead: Instant  # when the one was loaded that runs on
    wall: float
    problems: str


class LiveBoard:
    """The facts of an exporter at work."""

    def __init__(self, exporter: PollManager, clock: Clock) -> None:
        self._exporter = exporter
        self._clock = clock
        self._refused: _Refused | None = None

    def config_refused(self, problems: str) -> None:
        """A configuration could not be used; the one before is at work."""
        loaded = self._exporter.config_loaded
        self._refused = _Refused(loaded, self._clock.now().wall, problems)

    def now(self) -> Instant:
        """This moment."""
        return self._clock.now()

    def process(self) -> Process:
        """How the exporter itself is."""
        exporter = self._exporter
        return Process(
            version=VERSION,
            is_healthy=exporter.is_healthy(),
            is_ready=exporter.is_ready(),
            lag=exporter.lag(),
            shard_ordinal=exporter.shard.ordinal,
            shard_total=exporter.shard.total,
            known_statuses=exporter.config.known_statuses,
            config=self._config_state(),
        )

    def accounts(self) -> tuple[AccountStatus, ...]:
        """Every account, in the order of the configuration."""
        paused, expiries = self._exporter.paused_until(), self._exporter.token_expiries()
        return tuple(
            AccountStatus(
                account.name,
                paused.get(account.name),
                expiries.get(account.name),
                self._discovery(account),
            )
            for account in self._exporter.config.accounts
        )

    def buckets(self) -> tuple[Entry, ...]:
        """Every bucket that is polled."""
        return self._exporter.entries()

    def next_polls(self, keys: Collection[BucketKey]) -> dict[BucketKey, NextPoll]:
        """When these are polled next."""
        now, paused = self._clock.now(), self._exporter.paused_until()
        return {
            scheduled.bucket.key: _plan(scheduled, now, paused.get(scheduled.bucket.account))
            for scheduled in self._exporter.slots()
            if scheduled.bucket.key in keys
        }

    def polls(self, key: BucketKey) -> tuple[PollRecord, ...]:
        """How a bucket's last polls went, the oldest first."""
        return self._exporter.polls(key)

    def _config_state(self) -> ConfigState:
        loaded, refused = self._exporter.config_loaded, self._refused
        if refused is None or refused.instead is not loaded:
            return ConfigState(loaded.wall)
        return ConfigState(loaded.wall, refused.wall, refused.problems)

    def _discovery(self, account: config.Account) -> DiscoveryStatus | None:
        if account.discovery is None:
            return None
        discovery_state = self._exporter.discovery_state(account.name)
        if discovery_state is None:
            return DiscoveryStatus(was_tried=False)
        return _tried(account, discovery_state)


def _tried(account: config.Account, discovery_state: DiscoveryState) -> DiscoveryStatus:
    found = len(filtered(account, discovery_state))
    return DiscoveryStatus(
        was_tried=True,
        found=found,
        last_success=discovery_state.last_success,
        fault=discovery_state.fault,
    )


def _plan(scheduled: ScheduledPoll, now: Instant, paused_until: float | None) -> NextPoll:
    """A pause puts off what is due in it, and what was not yet planned anew is due at its end."""
    due = now.wall + scheduled.due - now.monotonic
    if paused_until is not None and not scheduled.is_running:
        return NextPoll(max(due, paused_until), is_paused=True)
    return NextPoll(due, is_running=scheduled.is_running)
