"""Builders for tests of the polling package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from exporter.config import parse
from exporter.model import Bucket, Instant, Timing
from exporter.polling.manager import PollManager
from exporter.polling.scheduler import Scheduler
from exporter.polling.sharding import Shard
from exporter.polling.targets import Targets
from exporter.upstream.discovery import DiscoveryState, FoundBucket
from tests.harness.fakes import NOON


def sync(
    targets: Targets,
    buckets: Iterable[tuple[Bucket, Timing]],
    now: Instant,
    known_statuses: tuple[str, ...] = ("ONLINE",),
) -> None:
    """Make the targets exactly these buckets."""
    targets.sync(targets.prepare(buckets, known_statuses, now), now)


class ScheduledTargets(Scheduler):
    """A scheduler with its own targets, which polls the buckets that a test passes."""

    def __init__(self, start: Instant) -> None:
        self.targets = Targets()
        super().__init__(self.targets, start)

    def poll(self, buckets: Iterable[tuple[Bucket, Timing]], now: float) -> None:
        """Replace the polled buckets with these."""
        sync(self.targets, buckets, Instant(NOON, now))
        self.sync(now)

    def drop_account(self, account: str) -> None:
        self.targets.drop_account(account)
        self.drop_pause(account)


def manager(buckets: int) -> PollManager:
    """A fake manager with `buckets` targets and a paused account that discovered seven buckets."""
    text = "accounts: [{name: main, authorization: {credentials: t}, discovery: {}}]"
    now = Instant(NOON, 1000.0)
    found = tuple(FoundBucket(f"f{number}", "", "", "", "") for number in range(7))
    made = SimpleNamespace(
        targets=range(buckets),
        shard=Shard(1, 3),
        lag=lambda: 1.5,
        paused_until=lambda: {"main": NOON + 30},
        token_expiries=lambda: {"main": NOON + 3600},
        certificate_expiries=lambda: {"main": NOON + 7200},
        clock_skews=lambda: {"main": 0.25},
        config=parse(text, path=Path("config.yaml"), environ={}),
        discovery_states={"main": DiscoveryState(found=found, last_success=now)},
    )
    return cast("PollManager", made)
