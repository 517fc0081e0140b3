"""The state of a bucket in one word, and totals over all buckets. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple

from exporter.model import UNKNOWN_STATUS, BucketState, Node, Reason, Timing
from exporter.polling.targets import is_not_online
from exporter.status.snapshot import BucketStatus


class Health(StrEnum):
    """The state of a bucket, from worst to best."""

    FAILING = "failing"  # the newest poll failed, or none succeeded within `stale_after`
    PENDING = "pending"  # no poll has ended yet
    DEGRADED = "degraded"  # up, with nodes that are not online
    UP = "up"


class RankedBucket(NamedTuple):
    """A bucket with its sort key: the first four fields sort the worst bucket first."""

    rank: int
    weight: int
    name: str
    bucket_id: str
    status: BucketStatus
    health: Health


class DownNode(NamedTuple):
    """A node that is not online. Equal in all buckets that contain it."""

    host: str
    ip: str
    status: str


_NO_VALUES_RANK, _FAILING_RANK, _PENDING_RANK, _DEGRADED_RANK, _UP_RANK = range(5)


@dataclass(slots=True)
class Totals:
    """Totals over buckets."""

    by_health: Counter[Health] = field(default_factory=Counter)
    reasons: Counter[Reason] = field(default_factory=Counter)
    accounts: Counter[str] = field(default_factory=Counter)
    stale: int = 0  # buckets whose last successful poll is too old
    nodes: int = 0  # in all buckets with fresh values
    down: Counter[DownNode] = field(default_factory=Counter)  # how many buckets have each

    @property
    def buckets(self) -> int:
        return self.by_health.total()

    @property
    def not_online(self) -> int:
        """Nodes that are not online. A node counts once for each bucket that contains it."""
        return self.down.total()

    def add(self, status: BucketStatus, monotonic: float) -> RankedBucket:
        """Add a bucket to the totals, and rank it."""
        state, bucket = status.state, status.bucket
        fresh = is_fresh(state, status.timing, monotonic)
        reason = state.failing(fresh=fresh)
        self.accounts[bucket.account] += 1
        down = self._count_nodes(state) if fresh else 0
        if reason is not None:
            self.reasons[reason] += 1
            self.stale += not fresh and state.last_success is not None
            rank = _FAILING_RANK if fresh and state.stats is not None else _NO_VALUES_RANK
            health = Health.FAILING
        elif state.newest is None:
            rank, health = _PENDING_RANK, Health.PENDING
        elif down:
            rank, health = _DEGRADED_RANK, Health.DEGRADED
        else:
            rank, health = _UP_RANK, Health.UP
        self.by_health[health] += 1
        return RankedBucket(rank, -down, bucket.name, bucket.id, status, health)

    def _count_nodes(self, state: BucketState) -> int:
        if state.stats is None:
            return 0
        nodes = state.stats.nodes
        self.nodes += len(nodes)
        down = [node for node in nodes if is_not_online(node)]
        for node in down:
            self.down[DownNode(node.host, node.ip, node.status or "")] += 1
        return len(down)


def is_fresh(state: BucketState, timing: Timing, monotonic: float) -> bool:
    """Whether the bucket's values may be shown. The metrics use the same rule."""
    return monotonic < state.fresh_until(timing)


def shown_nodes(status: BucketStatus, monotonic: float) -> tuple[Node, ...]:
    """The nodes of the latest successful poll, or none if it is stale."""
    stats = status.state.stats
    if stats is None or not is_fresh(status.state, status.timing, monotonic):
        return ()
    return stats.nodes


def status_name(node: Node, known: Collection[str]) -> str:
    """A node's status as in the metrics; empty if it has none."""
    if node.status is None:
        return ""
    return node.status if node.status in known else UNKNOWN_STATUS


def worst_first(ranked: Iterable[RankedBucket]) -> list[RankedBucket]:
    """Sort: failing without fresh values, failing with them, pending, degraded, up."""
    return sorted(ranked, key=itemgetter(slice(4)))  # ids are unique: they decide last
