"""The registry of targets: each bucket that is polled, with everything known about it.

That is its state, its rendered text, when it is due, a history of polls, and the request for its
previous day. Polls update it on the event loop; a scrape reads the texts. The rules for a state
belong to `model`, rendering to `metrics.render`, scheduling to `scheduler`.
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
    stable_fraction,
)

HISTORY_LENGTH = 30
"""Polls in the history of a bucket."""

_RECORD = struct.Struct("<IBBe")  # end time, index of the reason, nodes not online, duration
_REASONS = (None, *Reason)
_MOST_SECONDS = 65504.0  # the largest half-precision float
_MOST_NODES = 255


def is_not_online(node: Node) -> bool:
    """Whether the API reports a status other than ONLINE. False for a node without a status."""
    return node.status is not None and node.status != ONLINE_STATUS


def not_online(stats: DayStats | None) -> int:
    return 0 if stats is None else sum(map(is_not_online, stats.nodes))


class PollRecord(NamedTuple):
    """One poll in a bucket's history."""

    ended: int  # Unix time, whole seconds
    reason: Reason | None  # None: the poll was good
    nodes_not_online: int  # after a good poll, at most 255; 0 after a failed one
    duration: float  # seconds, with three significant digits


def appended(history: bytes, state: BucketState) -> bytes:
    """The history of a bucket with the newest poll of `state` added."""
    if state.newest is None:
        return history
    return (history + _packed(state, state.newest))[-HISTORY_LENGTH * _RECORD.size :]


def records(history: bytes) -> tuple[PollRecord, ...]:
    """The polls in a history, the oldest first."""
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
    """The request for a target's previous day, including retries."""

    day: date
    since: float  # when it was last queued, monotonic seconds
    failures: int = 0  # including responses without values
    retry_at: float = 0.0  # when to retry, up to half a poll interval earlier; monotonic seconds
    is_pending: bool = True  # queued or in progress


@dataclass(slots=True, eq=False)
class Target:
    """A bucket that is polled. Times are monotonic seconds."""

    bucket: Bucket
    timing: Timing
    state: BucketState
    text: RenderedBucket
    due: float
    previous_day_text: RenderedPreviousDay = NO_PREVIOUS_DAY
    refusals: int = 0  # in a row; they lengthen the next wait
    is_running: bool = False
    entry: int = 0  # number of its valid entry in the scheduler's heap; older ones are ignored
    previous_day_attempt: PreviousDayAttempt | None = None
    history: bytes = b""  # packed PollRecords, the oldest first

    @property
    def offset(self) -> float:
        """The bucket's offset within its interval, in seconds: the same in every process."""
        return stable_fraction(self.bucket.id) * self.timing.poll_interval


class PreparedTarget(NamedTuple):
    """A target as `sync` will make it."""

    bucket: Bucket
    timing: Timing
    state: BucketState
    text: RenderedBucket | None  # rendered from `state`; None: nothing changes


class PreparedTargets(NamedTuple):
    """The targets that `sync` will make, prepared without changing anything."""

    known_statuses: tuple[str, ...]
    targets: list[PreparedTarget]


class Targets:
    """All targets, in the order of the plan."""

    def __init__(self) -> None:
        self._known_statuses: tuple[str, ...] = ()
        self._targets: dict[BucketKey, Target] = {}
        self.unpolled: set[BucketKey] = set()
        """The buckets whose first poll has not ended yet."""

    def __len__(self) -> int:
        return len(self._targets)

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets.values())

    def holds(self, target: Target) -> bool:
        """Whether the target is still polled.

        Its bucket may have been dropped, or dropped and added again as another target.
        """
        return self._targets.get(target.bucket.key) is target

    def prepare(
        self,
        buckets: Iterable[tuple[Bucket, Timing]],
        known_statuses: tuple[str, ...],
        now: Instant,
        dropped: Collection[str] = (),
    ) -> PreparedTargets:
        """Prepare `sync`, as if the accounts in `dropped` had been dropped.

        It changes nothing, so it may run in a thread.
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
        """Poll exactly these buckets. Known ones keep their state, new ones are due now."""
        self._known_statuses = prepared.known_statuses
        self._targets = {each.bucket.key: self._synced(each, now) for each in prepared.targets}
        self.unpolled = {key for key, each in self._targets.items() if each.state.newest is None}

    def drop_account(self, account: str) -> None:
        self._targets = {
            key: target for key, target in self._targets.items() if key.account != account
        }

    def record(self, target: Target, result: PollResult) -> tuple[BucketState, BucketState]:
        """Record the result of a poll; returns the states before and after it."""
        before = target.state
        state = before.after(result, target.timing)
        same = state.stats is not None and state.stats.has_same_nodes(before.stats)
        self._render(target, state, result.ended, target.text if same else None)
        target.history = appended(target.history, state)
        self.unpolled.discard(target.bucket.key)
        return before, state

    def record_previous_day(self, target: Target, stats: DayStats, now: Instant) -> None:
        """Record the final values of the previous day, replacing those of an older day."""
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
        has_new_timing = target.timing != timing
        target.bucket, target.timing = bucket, timing
        if target.state is state:
            target.text = text
            if has_new_timing:
                self._renew_end_of_previous_day(target, now)
        else:  # a poll has ended since the text was prepared
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
        """Recompute until when the text is shown, because the wall clock may have been set."""
        until = target.state.previous_day_until(target.timing, now)
        target.previous_day_text = RenderedPreviousDay(target.previous_day_text.fragments, until)
