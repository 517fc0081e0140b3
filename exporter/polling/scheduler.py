"""Which bucket is due when: stable offsets, re-checks after refusals, pauses of accounts.

Pure: it is told the time and what happened, and says what is due. All times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from exporter.model import (
    ApiError,
    Bucket,
    BucketKey,
    FailedPoll,
    Instant,
    PollResult,
    Reason,
    Timing,
    pause_seconds,
    place_of,
)

AFTER_GRACE_SPREAD = 600.0
"""Buckets that still show yesterday when the grace ends are asked again within so many seconds."""


@dataclass(slots=True)
class ScheduledPoll:
    """A bucket's place in the schedule: handed out when due, handed back when its poll ended."""

    bucket: Bucket
    timing: Timing
    due: float
    refusals: int = 0  # in a row, as far as they lengthen the next wait
    is_running: bool = False
    entry: int = 0  # the number of its valid entry among those that wait; the others are void

    @property
    def offset(self) -> float:
        """Where in its interval the bucket is due, seconds: the same in every process."""
        return place_of(self.bucket.id) * self.timing.poll_interval


_Entry: TypeAlias = tuple[float, int, ScheduledPoll]
"""When a slot is due, and a number: of two that are due at once the older one comes first."""


class Scheduler:
    """When each bucket is due. Offsets are anchored to the wall clock as it was at the start."""

    def __init__(self, now: Instant) -> None:
        self._origin = now.monotonic - now.wall
        self._polls: dict[BucketKey, ScheduledPoll] = {}
        self._waiting: list[_Entry] = []  # a heap
        self._due: dict[str, deque[_Entry]] = {}  # by account: what was seen to be due
        self._pushed = 0
        self._paused_until: dict[str, float] = {}

    def sync(self, buckets: Iterable[tuple[Bucket, Timing]], now: float) -> None:
        """Plan exactly these buckets: new ones are due at once, the others as they were."""
        polls = {}
        for bucket, timing in buckets:
            scheduled = self._polls.get(bucket.key) or ScheduledPoll(bucket, timing, now)
            if scheduled.timing.poll_interval != timing.poll_interval:
                scheduled.due = min(scheduled.due, now + timing.poll_interval)
            scheduled.bucket, scheduled.timing = bucket, timing
            polls[bucket.key] = scheduled
        self._polls = polls
        self._queue(scheduled for scheduled in polls.values() if not scheduled.is_running)
        ended = [name for name, until in self._paused_until.items() if until <= now]
        for name in ended:
            del self._paused_until[name]

    def drop_account(self, account: str) -> None:
        """Drop the plans of an account, and its pause."""
        self._polls = {
            key: scheduled for key, scheduled in self._polls.items() if key.account != account
        }
        self._paused_until.pop(account, None)
        self._queue(scheduled for scheduled in self._polls.values() if not scheduled.is_running)

    def requeue_running(self, now: float) -> None:
        """The polls that were running will not end: those buckets are due at once."""
        for scheduled in self._polls.values():
            if scheduled.is_running:
                scheduled.is_running = False
                scheduled.due = now
        self._queue(self._polls.values())

    def retry_now(self, account: str, now: float) -> None:
        """What waits in an account for another try after a refusal is due at once."""
        for key, scheduled in self._polls.items():
            if key.account == account and scheduled.refusals:
                scheduled.refusals = 0
                self._ask_by(scheduled, now)

    def ask_after_grace(self, key: BucketKey, now: Instant) -> None:
        """Yesterday's reading of a bucket was kept: ask again soon after the grace has ended.

        At a stable offset, so that many buckets are spread, and only where its next poll would come
        after all of these times.
        """
        scheduled = self._polls.get(key)
        if scheduled is None:
            return
        grace_ends = now.monotonic + scheduled.timing.grace_left(now.wall)
        spread = min(scheduled.timing.poll_interval, AFTER_GRACE_SPREAD)
        if scheduled.due > grace_ends + spread:
            self._ask_by(scheduled, grace_ends + place_of(key.bucket_id) * spread)

    def due_accounts(self, now: float) -> dict[str, float]:
        """The accounts that have something due, each with since when the most overdue is."""
        self._gather(now)
        return {account: entries[0][0] for account, entries in self._due.items()}

    def pop_due(self, now: float, account: str | None = None) -> ScheduledPoll | None:
        """The most overdue bucket, of one account or of all; None where nothing is due.

        It is not due again until it is handed back.
        """
        self._gather(now)
        if account is None and self._due:
            account = min(self._due, key=lambda name: self._due[name][0])
        if account is None or account not in self._due:
            return None
        entries = self._due[account]
        scheduled = entries.popleft()[2]
        if not entries:
            del self._due[account]
        scheduled.is_running = True
        scheduled.entry = 0
        return scheduled

    def complete(self, scheduled: ScheduledPoll, outcome: PollResult, now: Instant) -> bool:
        """Its poll ended like this: plan the next one. False if it is not planned any more."""
        if isinstance(outcome, FailedPoll):
            self.apply_pause(scheduled.bucket.account, outcome.fault, now.monotonic)
        if self._polls.get(scheduled.bucket.key) is not scheduled or not scheduled.is_running:
            return False
        scheduled.is_running = False
        scheduled.due = self._next_due(scheduled, outcome, now)
        self._push(scheduled)
        return True

    def apply_pause(self, account: str, fault: ApiError, now: float) -> None:
        """Pause an account if that is what a fault asks for."""
        if fault.reason is not Reason.RATE_LIMITED:
            return
        until = now + pause_seconds(fault.retry_after)
        self._paused_until[account] = max(self._paused_until.get(account, 0.0), until)
        for _, _, scheduled in self._due.pop(account, ()):
            self._defer(scheduled)

    def next_due(self) -> float | None:
        """When the next bucket becomes due that was not seen to be; it may prove to be paused."""
        return self._waiting[0][0] if self._waiting else None

    def lag(self, now: float) -> float:
        """How late the most overdue bucket is, seconds."""
        return max((now - since for since in self.due_accounts(now).values()), default=0.0)

    def paused(self, now: float) -> dict[str, float]:
        """The accounts that are paused, and until when."""
        return {name: until for name, until in self._paused_until.items() if until > now}

    def __iter__(self) -> Iterator[ScheduledPoll]:
        return iter(self._polls.values())

    def _next_due(self, scheduled: ScheduledPoll, outcome: PollResult, now: Instant) -> float:
        interval = scheduled.timing.poll_interval
        if not self._lengthens_wait(scheduled, outcome, now):
            scheduled.refusals = 0
            # The first poll is off the offset: it stands for a slot less than half an interval on.
            return self._offset_after(scheduled, max(now.monotonic, scheduled.due + interval / 2))
        due = scheduled.due + scheduled.timing.refusal_wait(scheduled.refusals)
        scheduled.refusals += 1
        return due if due > now.monotonic else self._offset_after(scheduled, now.monotonic)

    @staticmethod
    def _lengthens_wait(scheduled: ScheduledPoll, outcome: PollResult, now: Instant) -> bool:
        """Whether it was refused, and not just because the clocks disagree on the day."""
        if not isinstance(outcome, FailedPoll) or not outcome.fault.reason.is_refusal:
            return False
        day_may_be_disputed = scheduled.timing.is_near_midnight(now.wall)
        return not (outcome.fault.reason is Reason.BAD_REQUEST and day_may_be_disputed)

    def _offset_after(self, scheduled: ScheduledPoll, moment: float) -> float:
        """The next time at the bucket's offset, later than `moment`."""
        interval = scheduled.timing.poll_interval
        ahead = (scheduled.offset - (moment - self._origin)) % interval
        return moment + (ahead or interval)

    def _gather(self, now: float) -> None:
        """Sort what has become due by account; what is paused waits for the end of the pause."""
        while self._waiting and self._waiting[0][0] <= now:
            entry = heappop(self._waiting)
            _, number, scheduled = entry
            if number != scheduled.entry:
                continue
            account = scheduled.bucket.account
            if self._paused_until.get(account, 0.0) > now:
                self._defer(scheduled)
            else:
                self._due.setdefault(account, deque()).append(entry)

    def _defer(self, scheduled: ScheduledPoll) -> None:
        """Move what is due in a paused account to its first slot after the pause."""
        scheduled.due = self._offset_after(scheduled, self._paused_until[scheduled.bucket.account])
        self._push(scheduled)

    def _ask_by(self, scheduled: ScheduledPoll, moment: float) -> None:
        """Let what waits be due at this moment, if it would be later."""
        if not scheduled.is_running and scheduled.due > moment:
            scheduled.due = moment
            self._push(scheduled)

    def _queue(self, polls: Iterable[ScheduledPoll]) -> None:
        """Let exactly these wait."""
        self._due = {}
        self._waiting = [self._entry(scheduled) for scheduled in polls]
        heapify(self._waiting)

    def _push(self, scheduled: ScheduledPoll) -> None:
        heappush(self._waiting, self._entry(scheduled))

    def _entry(self, scheduled: ScheduledPoll) -> _Entry:
        self._pushed += 1
        scheduled.entry = self._pushed
        return scheduled.due, self._pushed, scheduled
