"""A scheduler together with its targets, for tests."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.model import Bucket, Instant, Timing
from exporter.polling.scheduler import Scheduler
from exporter.polling.targets import Targets
from tests.fakes import NOON


def sync(
    targets: Targets,
    buckets: Iterable[tuple[Bucket, Timing]],
    now: Instant,
    known_statuses: tuple[str, ...] = ("ONLINE",),
) -> None:
    """Let the targets be exactly these."""
    targets.sync(targets.prepare(buckets, known_statuses, now), now)


class ScheduledTargets(Scheduler):
    """Polls what a test tells it to."""

    def __init__(self, start: Instant) -> None:
        self.targets = Targets()
        super().__init__(self.targets, start)

    def poll(self, buckets: Iterable[tuple[Bucket, Timing]], now: float) -> None:
        """Poll exactly these from now on."""
        sync(self.targets, buckets, Instant(NOON, now))
        self.sync(now)

    def drop_account(self, account: str) -> None:
        self.targets.drop_account(account)
        self.drop_pause(account)
