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
from exporter.polling.history import PastPoll
from exporter.polling.manager import Exporter
from exporter.polling.scheduler import Slot
from exporter.status.facts import Account, ConfigState, Discovery, Plan, Process
from exporter.upstream.discovery import Inventory, admitted
from exporter.version import VERSION


class _Refused(NamedTuple):
    """A configuration that could not be used."""

    instead: Instant  # when the one was loaded that runs on
    wall: float
    problems: str


class LiveBoard:
    """The facts of an exporter at work."""

    def __init__(self, exporter: Exporter, clock: Clock) -> None:
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

    def accounts(self) -> tuple[Account, ...]:
        """Every account, in the order of the configuration."""
        paused, expiries = self._exporter.paused_until(), self._exporter.token_expiries()
        return tuple(
            Account(
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

    def plans(self, keys: Collection[BucketKey]) -> dict[BucketKey, Plan]:
        """When these are polled next."""
        now, paused = self._clock.now(), self._exporter.paused_until()
        return {
            slot.bucket.key: _plan(slot, now, paused.get(slot.bucket.account))
            for slot in self._exporter.slots()
            if slot.bucket.key in keys
        }

    def polls(self, key: BucketKey) -> tuple[PastPoll, ...]:
        """How a bucket's last polls went, the oldest first."""
        return self._exporter.polls(key)

    def _config_state(self) -> ConfigState:
        loaded, refused = self._exporter.config_loaded, self._refused
        if refused is None or refused.instead is not loaded:
            return ConfigState(loaded.wall)
        return ConfigState(loaded.wall, refused.wall, refused.problems)

    def _discovery(self, account: config.Account) -> Discovery | None:
        if account.discovery is None:
            return None
        inventory = self._exporter.inventory(account.name)
        if inventory is None:
            return Discovery(was_tried=False)
        return _tried(account, inventory)


def _tried(account: config.Account, inventory: Inventory) -> Discovery:
    found = len(admitted(account, inventory))
    return Discovery(
        was_tried=True,
        found=found,
        last_success=inventory.last_success,
        fault=inventory.fault,
    )


def _plan(slot: Slot, now: Instant, paused_until: float | None) -> Plan:
    """A pause puts off what is due in it, and what was not yet planned anew is due at its end."""
    due = now.wall + slot.due - now.monotonic
    if paused_until is not None and not slot.is_running:
        return Plan(max(due, paused_until), is_paused=True)
    return Plan(due, is_running=slot.is_running)
