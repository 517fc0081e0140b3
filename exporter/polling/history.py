"""How each bucket's last polls went, in a few bytes each: what the small pictures are drawn from.

Bounded: a bucket costs `KEPT` times eight bytes and never more. What a poll means is the model's
business, how it looks the page's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from exporter.model import (
    ONLINE_STATUS,
    BucketKey,
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


class PollHistory:
    """The last polls of every bucket that is held."""

    def __init__(self) -> None:
        self._records: dict[BucketKey, bytes] = {}

    def sync(self, keys: Iterable[BucketKey]) -> None:
        """Remember exactly these buckets; what is known of each stays."""
        self._records = {key: self._records.get(key, b"") for key in keys}

    def drop_account(self, account: str) -> None:
        """Drop what is remembered of an account's buckets."""
        for key in self._records:
            if key.account == account:
                self._records[key] = b""

    def record(self, key: BucketKey, state: BucketState) -> None:
        """A poll of a bucket ended and left it in this state."""
        held = self._records.get(key)
        if held is not None and state.newest is not None:
            self._records[key] = (held + _packed(state, state.newest))[-KEPT * _RECORD.size :]

    def polls(self, key: BucketKey) -> tuple[PollRecord, ...]:
        """How the last polls of a bucket went, the oldest first."""
        return tuple(
            PollRecord(ended, _REASONS[reason], nodes, duration)
            for ended, reason, nodes, duration in _RECORD.iter_unpack(self._records.get(key, b""))
        )


def _packed(state: BucketState, newest: PollResult) -> bytes:
    failed = isinstance(newest, FailedPoll)
    return _RECORD.pack(
        int(newest.ended.wall) % 2**32,
        _REASONS.index(newest.fault.reason if isinstance(newest, FailedPoll) else None),
        0 if failed else min(not_online(state.stats), _MOST_NODES),
        min(newest.duration, _MOST_SECONDS),
    )
