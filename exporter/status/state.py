"""How a bucket stands, in one word, and how all of them stand together. Pure."""

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
    """A bucket in one word, the worst first."""

    FAILING = "failing"  # the newest poll failed, or the readings are stale
    PENDING = "pending"  # no poll has ended yet
    DEGRADED = "degraded"  # up, with nodes that are not online
    UP = "up"


class RankedBucket(NamedTuple):
    """A bucket in its place among all: in the order of these fields the worst comes first."""

    rank: int
    weight: int
    name: str
    bucket_id: str
    status: BucketStatus
    health: Health


class DownNode(NamedTuple):
    """A node that is not online, whichever bucket it was seen in."""

    host: str
    ip: str
    status: str


_STALE_RANK, _FAILING_RANK, _PENDING_RANK, _DEGRADED_RANK, _UP_RANK = range(5)


@dataclass(slots=True)
class Totals:
    """How many of what there are, counted bucket by bucket."""

    by_health: Counter[Health] = field(default_factory=Counter)
    reasons: Counter[Reason] = field(default_factory=Counter)
    accounts: Counter[str] = field(default_factory=Counter)
    stale: int = 0  # without any numbers, though they were polled or should have been
    nodes: int = 0  # of which there are numbers
    down: Counter[DownNode] = field(default_factory=Counter)  # in how many buckets each

    @property
    def buckets(self) -> int:
        return self.by_health.total()

    @property
    def not_online(self) -> int:
        """How many of the nodes are not online, each counted in each of its buckets."""
        return self.down.total()

    def add(self, status: BucketStatus, monotonic: float) -> RankedBucket:
        """Count a bucket as it stands at a moment."""
        state, bucket = status.state, status.bucket
        fresh = is_fresh(state, status.timing, monotonic)
        reason = state.failing(fresh=fresh)
        self.accounts[bucket.account] += 1
        down = self._count_nodes(state) if fresh else 0
        if reason is not None:
            self.reasons[reason] += 1
            self.stale += not fresh
            rank = _FAILING_RANK if fresh and state.stats is not None else _STALE_RANK
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
    """Whether what is held may be shown: the metrics' own rule."""
    return monotonic < state.fresh_until(timing)


def shown_nodes(status: BucketStatus, monotonic: float) -> tuple[Node, ...]:
    """The nodes that may be shown at a moment."""
    stats = status.state.stats
    if stats is None or not is_fresh(status.state, status.timing, monotonic):
        return ()
    return stats.nodes


def status_name(node: Node, known: Collection[str]) -> str:
    """A node's status as the metrics name it; empty where it has none."""
    if node.status is None:
        return ""
    return node.status if node.status in known else UNKNOWN_STATUS


def worst_first(ranked: Iterable[RankedBucket]) -> list[RankedBucket]:
    """The failing without numbers, the failing with, the pending, the degraded, the rest."""
    return sorted(ranked, key=itemgetter(slice(4)))  # ids differ: nothing else is compared
