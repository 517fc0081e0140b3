"""The state of the exporter at one moment, as values, for pages and JSON.

Facts only. Conclusions from them belong to the other modules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from exporter import config
from exporter.model import ApiError, Bucket, BucketState, Instant, Timing
from exporter.polling.manager import PollManager
from exporter.polling.targets import PollRecord, records
from exporter.upstream.discovery import filtered
from exporter.version import VERSION


@dataclass(frozen=True, slots=True)
class DiscoveryStatus:
    """The discovery of an account."""

    was_tried: bool
    found: int = 0  # buckets that pass the account's filters
    last_success: Instant | None = None
    error: ApiError | None = None  # of the newest list request


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """An account, without its credentials."""

    name: str
    paused_until: float | None = None  # Unix time
    token_expiry: float | None = None  # Unix time; None: unknown
    discovery: DiscoveryStatus | None = None  # None: discovery is off


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """The active configuration."""

    loaded: float  # Unix time
    refused: float | None = None  # when a newer one could not be used; None: there is none
    problems: str = ""  # why it could not be used


@dataclass(frozen=True, slots=True)
class Process:
    """The exporter process."""

    version: str
    is_healthy: bool
    is_ready: bool
    lag: float  # seconds
    shard_ordinal: int
    shard_total: int
    known_statuses: tuple[str, ...]
    config: ConfigStatus


class NextPoll(NamedTuple):
    """When a bucket is polled next."""

    due: float  # Unix time; in the past if polls are late
    is_running: bool = False
    is_paused: bool = False  # its account is paused; the pause ends by `due`


class BucketStatus(NamedTuple):
    """A bucket that is polled, and what is known about it."""

    bucket: Bucket
    timing: Timing
    state: BucketState
    due: float  # monotonic seconds
    is_running: bool = False
    history: bytes = b""
    paused_until: float | None = None  # of its account, Unix time

    def next_poll(self, now: Instant) -> NextPoll:
        """The next poll. If the account is paused, it comes at the end of the pause or later."""
        due = now.wall + self.due - now.monotonic
        if self.paused_until is not None and not self.is_running:
            return NextPoll(max(due, self.paused_until), is_paused=True)
        return NextPoll(due, is_running=self.is_running)

    @property
    def polls(self) -> tuple[PollRecord, ...]:
        """The last polls, the oldest first."""
        return records(self.history)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The exporter with its accounts and buckets."""

    now: Instant
    process: Process
    accounts: tuple[AccountStatus, ...]  # in the order of the configuration file
    buckets: tuple[BucketStatus, ...]  # their ids are unique


def take_snapshot(manager: PollManager, now: Instant) -> Snapshot:
    process = Process(
        version=VERSION,
        is_healthy=manager.is_healthy(),
        is_ready=manager.is_ready(),
        lag=manager.lag(),
        shard_ordinal=manager.shard.ordinal,
        shard_total=manager.shard.total,
        known_statuses=manager.config.known_statuses,
        config=_config(manager),
    )
    paused = manager.paused_until()
    buckets = tuple(
        BucketStatus(
            each.bucket,
            each.timing,
            each.state,
            each.due,
            each.is_running,
            each.history,
            paused.get(each.bucket.account),
        )
        for each in manager.targets
    )
    return Snapshot(now, process, _accounts(manager), buckets)


def _config(manager: PollManager) -> ConfigStatus:
    loaded, refused = manager.config_loaded.wall, manager.config_refused
    if refused is None:
        return ConfigStatus(loaded)
    return ConfigStatus(loaded, refused.at.wall, refused.problems)


def _accounts(manager: PollManager) -> tuple[AccountStatus, ...]:
    paused, expiries = manager.paused_until(), manager.token_expiries()
    return tuple(
        AccountStatus(
            account.name,
            paused.get(account.name),
            expiries.get(account.name),
            _discovery(manager, account),
        )
        for account in manager.config.accounts
    )


def _discovery(manager: PollManager, account: config.Account) -> DiscoveryStatus | None:
    if account.discovery is None:
        return None
    state = manager.discovery_states.get(account.name)
    if state is None:
        return DiscoveryStatus(was_tried=False)
    return DiscoveryStatus(
        was_tried=True,
        found=len(filtered(account, state)),
        last_success=state.last_success,
        error=state.error,
    )
