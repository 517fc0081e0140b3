"""The registry of targets: each bucket that is polled, with all that is known of it.

Its state and ready-made text, when it is due, how its last polls went, how asking for its previous
day has fared. Written on the event loop as polls end; a scrape reads the texts. What a state means
is decided in `model`, how it looks in `metrics.render`, when a poll is due in `scheduler`.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from exporter.metrics.render import (
    NO_PREVIOUS_DAY,
    RenderedBucket,
    RenderedPreviousDay,
    previous_day_fragments,
    render_bucket,
    render_page,
)
from exporter.model import (
    ONLINE_STATUS,
    Bucket,
    BucketKey,
    BucketState,
    DayStats,
    FailedPoll,
    Instant,
    Node,
    PollResult,
    Reason,
    Timing,
    place_of,
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
        _REASONS.index(newest.error.reason if isinstance(newest, FailedPoll) else None),
        0 if failed else min(not_online(state.stats), _MOST_NODES),
        min(newest.duration, _MOST_SECONDS),
    )


@dataclass(slots=True)
class PreviousDayAttempt:
    """How asking for a target's previous day has fared so far."""

    day: date
    since: float  # when it was last put into the queue, monotonic seconds
    failures: int = 0  # answers without figures among them
    not_before: float = 0.0  # monotonic seconds
    is_open: bool = True  # waits to be asked for, or is being asked for


@dataclass(slots=True, eq=False)
class Target:
    """One bucket that is polled. Times without another unit are monotonic seconds."""

    bucket: Bucket
    timing: Timing
    state: BucketState
    text: RenderedBucket
    due: float
    previous_day_text: RenderedPreviousDay = NO_PREVIOUS_DAY
    refusals: int = 0  # in a row, as far as they lengthen the next wait
    is_running: bool = False
    entry: int = 0  # the number of its valid entry in the scheduler's heap; the others are void
    previous_day_attempt: PreviousDayAttempt | None = None
    history: bytes = b""  # of its last polls, as the module of that name packs them

    @property
    def offset(self) -> float:
        """Where in its interval the bucket is due, seconds: the same in every process."""
        return place_of(self.bucket.id) * self.timing.poll_interval


class PreparedTarget(NamedTuple):
    """What a target is to become."""

    bucket: Bucket
    timing: Timing
    state: BucketState
    text: RenderedBucket | None  # made from that state; None: the target stays as it is


class PreparedTargets(NamedTuple):
    """What is to be polled, made ready beside what is polled now."""

    known_statuses: tuple[str, ...]
    targets: list[PreparedTarget]


class Targets:
    """All targets, in the order in which they were given."""

    def __init__(self) -> None:
        self._known_statuses: tuple[str, ...] = ()
        self._targets: dict[BucketKey, Target] = {}
        self.unpolled: set[BucketKey] = set()
        """The buckets of which no poll has ended yet."""

    def __len__(self) -> int:
        return len(self._targets)

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets.values())

    def holds(self, target: Target) -> bool:
        """Whether it is polled still: its bucket may have been dropped, or come back as another."""
        return self._targets.get(target.bucket.key) is target

    def prepare(
        self,
        buckets: Iterable[tuple[Bucket, Timing]],
        known_statuses: tuple[str, ...],
        now: Instant,
        dropped: Collection[str] = (),
    ) -> PreparedTargets:
        """What `sync` is given once the accounts `dropped` have been dropped.

        Changes nothing, so another thread may take its time for it.
        """
        same_statuses = known_statuses == self._known_statuses
        targets = []
        for bucket, timing in buckets:
            target = None if bucket.account in dropped else self._targets.get(bucket.key)
            state = BucketState(known_since=now) if target is None else target.state
            if target and same_statuses and (target.bucket, target.timing) == (bucket, timing):
                text = None
            else:
                text = render_bucket(bucket, state, timing, known_statuses)
            targets.append(PreparedTarget(bucket, timing, state, text))
        return PreparedTargets(known_statuses, targets)

    def sync(self, prepared: PreparedTargets, now: Instant) -> None:
        """Poll exactly these buckets: what is known of each stays, a new one is due at once."""
        self._known_statuses = prepared.known_statuses
        self._targets = {each.bucket.key: self._synced(each, now) for each in prepared.targets}
        self.unpolled = {key for key, each in self._targets.items() if each.state.newest is None}

    def drop_account(self, account: str) -> None:
        self._targets = {
            key: target for key, target in self._targets.items() if key.account != account
        }

    def record(self, target: Target, result: PollResult) -> tuple[BucketState, BucketState]:
        """Take in how a poll of a target ended; the states before and after it."""
        before = target.state
        state = before.after(result, target.timing)
        same = state.stats is not None and state.stats.says_the_same_of_nodes(before.stats)
        self._render(target, state, result.ended, target.text if same else None)
        target.history = appended(target.history, state)
        self.unpolled.discard(target.bucket.key)
        return before, state

    def record_previous_day(self, target: Target, stats: DayStats, now: Instant) -> None:
        """Take in the final figures of the previous day, in place of those of an older one."""
        target.state = replace(target.state, previous_day=stats)
        target.previous_day_attempt = None
        target.previous_day_text = RenderedPreviousDay(
            previous_day_fragments(target.bucket, target.state),
            target.state.previous_day_until(target.timing, now),
        )

    def render(self, monotonic: float) -> Iterator[bytes]:
        texts = [target.text for target in self]
        previous_days = [target.previous_day_text for target in self]
        return render_page(texts, previous_days, monotonic)

    def _synced(self, prepared: PreparedTarget, now: Instant) -> Target:
        bucket, timing, state, text = prepared
        target = self._targets.get(bucket.key)
        if target is None:
            made = text or render_bucket(bucket, state, timing, self._known_statuses)
            return Target(bucket, timing, state, made, due=now.monotonic)
        if text is None:
            return target
        if target.timing.poll_interval != timing.poll_interval:
            target.due = min(target.due, now.monotonic + timing.poll_interval)
        target.bucket, target.timing = bucket, timing
        if target.state is state:
            target.text = text
            self._renew_end_of_previous_day(target, now)
        else:  # a poll has ended since that text was made
            self._render(target, target.state, now, None)
        return target

    def _render(
        self, target: Target, state: BucketState, now: Instant, before: RenderedBucket | None
    ) -> None:
        target.state = state
        target.text = render_bucket(
            target.bucket, state, target.timing, self._known_statuses, before
        )
        self._renew_end_of_previous_day(target, now)

    @staticmethod
    def _renew_end_of_previous_day(target: Target, now: Instant) -> None:
        """Its text stays; until when it is shown follows from what the wall clock says now."""
        until = target.state.previous_day_until(target.timing, now)
        target.previous_day_text = RenderedPreviousDay(target.previous_day_text.fragments, until)
