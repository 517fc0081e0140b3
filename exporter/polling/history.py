"""How a bucket's last polls went, in a few bytes each: what the sparklines are drawn from.

Bounded: a bucket costs `KEPT` times eight bytes and never more. What a poll means is decided in
`model`, how it looks in `status.sparkline`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from exporter.model import (
    ONLINE_STATUS,
    BucketState,
    DayStats,
    FailedPoll,
    Node,
    PollResult,
    Reason,
)

KEPT = 30
"""Polls that are remembered of each bucket."""

_RECORD = struct.Struct("<IBBe")  # when it ended, how, nodes not online, seconds it took
_REASONS = (None, *Reason)
_MOST_SECONDS = 65504.0  # of a number of two bytes
_MOST_NODES = 255


def is_not_online(node: Node) -> bool:
    """Whether the API says of a node that it is in any other state; silence says nothing."""
    return node.status is not None and node.status != ONLINE_STATUS


def not_online(stats: DayStats | None) -> int:
    """How many of the nodes are not online."""
    return 0 if stats is None else sum(map(is_not_online, stats.nodes))


class PollRecord(NamedTuple):
    """How a poll went."""

    ended: int  # Unix time, whole seconds
    reason: Reason | None  # None: it was good
    nodes_not_online: int  # of those held after it; at most 255
    duration: float  # seconds, to three digits


def appended(history: bytes, state: BucketState) -> bytes:
    """The history of a bucket once a poll has ended and left it in this state."""
    if state.newest is None:
        return history
    return (history + _packed(state, state.newest))[-KEPT * _RECORD.size :]


def records(history: bytes) -> tuple[PollRecord, ...]:
    """How the last polls went, the oldest first."""
    return tuple(
        PollRecord(ended, _REASONS[reason], nodes, duration)
        for ended, reason, nodes, duration in _RECORD.iter_unpack(history)
    )


def _packed(state: BucketState, newest: PollResult) -> bytes:
    failed = isinstance(newest, FailedPoll)
    return _RECORD.pack(
        int(newest.ended.wall) % 2**32,
        _REASONS.index(newest.fault.reason if isinstance(newest, FailedPoll) else None),
        0 if failed else min(not_online(state.stats), _MOST_NODES),
        min(newest.duration, _MOST_SECONDS),
    )
