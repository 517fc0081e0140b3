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
    Bucket,
    BucketKey,
    Failure,
    Fault,
    Instant,
    Outcome,
    Reason,
    Timing,
    pause_seconds,
    place_of,
)

AFTER_GRACE_SPREAD = 600.0
"""Buckets that still show yesterday when the grace ends are asked again within so many seconds."""


@dataclass(slots=True)
class Slot:
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


_Entry: TypeAlias = tuple[float, int, Slot]
"""When a slot is due, and a number: of two that are due at once the older one comes first."""


class Schedule:
    """When each bucket is due. Offsets are anchored to the wall clock as it was at the start."""

    def __init__(self, now: Instant) -> None:
        self._origin = now.monotonic - now.wall
        self._slots: dict[BucketKey, Slot] = {}
        self._waiting: list[_Entry] = []  # a heap
        self._due: dict[str, deque[_Entry]] = {}  # by account: what was seen to be due
        self._pushed = 0
        self._paused_until: dict[str, float] = {}

    def hold(self, buckets: Iterable[tuple[Bucket, Timing]], now: float) -> None:
        """Plan exactly these buckets: new ones are due at once, the others as they were."""
        slots = {}
        for bucket, timing in buckets:
            slot = self._slots.get(bucket.key) or Slot(bucket, timing, now)
            if slot.timing.poll_interval != timing.poll_interval:
                slot.due = min(slot.due, now + timing.poll_interval)
            slot.bucket, slot.timing = bucket, timing
            slots[bucket.key] = slot
        self._slots = slots
        self._queue(slot for slot in slots.values() if not slot.is_running)
        ended = [name for name, until in self._paused_until.items() if until <= now]
        for name in ended:
            del self._paused_until[name]

    def forget(self, account: str) -> None:
        """Drop the plans of an account, and its pause."""
        self._slots = {key: slot for key, slot in self._slots.items() if key.account != account}
        self._paused_until.pop(account, None)
        self._queue(slot for slot in self._slots.values() if not slot.is_running)

    def abandon_running(self, now: float) -> None:
        """The polls that were running will not end: those buckets are due at once."""
        for slot in self._slots.values():
            if slot.is_running:
                slot.is_running = False
                slot.due = now
        self._queue(self._slots.values())

    def hurry(self, account: str, now: float) -> None:
        """What waits in an account for another try after a refusal is due at once."""
        for key, slot in self._slots.items():
            if key.account == account and slot.refusals:
                slot.refusals = 0
                self._ask_by(slot, now)

    def ask_after_grace(self, key: BucketKey, now: Instant) -> None:
        """Yesterday's reading of a bucket was kept: ask again soon after the grace has ended.

        At a stable offset, so that many buckets are spread, and only where its next poll would come
        after all of these times.
        """
        slot = self._slots.get(key)
        if slot is None:
            return
        grace_ends = now.monotonic + slot.timing.grace_left(now.wall)
        spread = min(slot.timing.poll_interval, AFTER_GRACE_SPREAD)
        if slot.due > grace_ends + spread:
            self._ask_by(slot, grace_ends + place_of(key.bucket_id) * spread)

    def due_accounts(self, now: float) -> dict[str, float]:
        """The accounts that have something due, each with since when the most overdue is."""
        self._gather(now)
        return {account: entries[0][0] for account, entries in self._due.items()}

    def take_due(self, now: float, account: str | None = None) -> Slot | None:
        """The most overdue bucket, of one account or of all; None where nothing is due.

        It is not due again until it is handed back.
        """
        self._gather(now)
        if account is None and self._due:
            account = min(self._due, key=lambda name: self._due[name][0])
        if account is None or account not in self._due:
            return None
        entries = self._due[account]
        slot = entries.popleft()[2]
        if not entries:
            del self._due[account]
        slot.is_running = True
        slot.entry = 0
        return slot

    def hand_back(self, slot: Slot, outcome: Outcome, now: Instant) -> bool:
        """Its poll ended like this: plan the next one. False if it is not planned any more."""
        if isinstance(outcome, Failure):
            self.heed(slot.bucket.account, outcome.fault, now.monotonic)
        if self._slots.get(slot.bucket.key) is not slot or not slot.is_running:
            return False
        slot.is_running = False
        slot.due = self._next_due(slot, outcome, now)
        self._push(slot)
        return True

    def heed(self, account: str, fault: Fault, now: float) -> None:
        """Pause an account if that is what a fault asks for."""
        if fault.reason is not Reason.RATE_LIMITED:
            return
        until = now + pause_seconds(fault.retry_after)
        self._paused_until[account] = max(self._paused_until.get(account, 0.0), until)
        for _, _, slot in self._due.pop(account, ()):
            self._defer(slot)

    def next_due(self) -> float | None:
        """When the next bucket becomes due that was not seen to be; it may prove to be paused."""
        return self._waiting[0][0] if self._waiting else None

    def lag(self, now: float) -> float:
        """How late the most overdue bucket is, seconds."""
        return max((now - since for since in self.due_accounts(now).values()), default=0.0)

    def paused(self, now: float) -> dict[str, float]:
        """The accounts that are paused, and until when."""
        return {name: until for name, until in self._paused_until.items() if until > now}

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots.values())

    def _next_due(self, slot: Slot, outcome: Outcome, now: Instant) -> float:
        interval = slot.timing.poll_interval
        if not self._lengthens_wait(slot, outcome, now):
            slot.refusals = 0
            # The first poll is off the offset: it stands for a slot less than half an interval on.
            return self._offset_after(slot, max(now.monotonic, slot.due + interval / 2))
        due = slot.due + slot.timing.refusal_wait(slot.refusals)
        slot.refusals += 1
        return due if due > now.monotonic else self._offset_after(slot, now.monotonic)

    @staticmethod
    def _lengthens_wait(slot: Slot, outcome: Outcome, now: Instant) -> bool:
        """Whether it was refused, and not just because the clocks disagree on the day."""
        if not isinstance(outcome, Failure) or not outcome.fault.reason.is_refusal:
            return False
        day_may_be_disputed = slot.timing.is_near_midnight(now.wall)
        return not (outcome.fault.reason is Reason.BAD_REQUEST and day_may_be_disputed)

    def _offset_after(self, slot: Slot, moment: float) -> float:
        """The next time at the bucket's offset, later than `moment`."""
        interval = slot.timing.poll_interval
        ahead = (slot.offset - (moment - self._origin)) % interval
        return moment + (ahead or interval)

    def _gather(self, now: float) -> None:
        """Sort what has become due by account; what is paused waits for the end of the pause."""
        while self._waiting and self._waiting[0][0] <= now:
            entry = heappop(self._waiting)
            _, number, slot = entry
            if number != slot.entry:
                continue
            account = slot.bucket.account
            if self._paused_until.get(account, 0.0) > now:
                self._defer(slot)
            else:
                self._due.setdefault(account, deque()).append(entry)

    def _defer(self, slot: Slot) -> None:
        """Move what is due in a paused account to its first slot after the pause."""
        slot.due = self._offset_after(slot, self._paused_until[slot.bucket.account])
        self._push(slot)

    def _ask_by(self, slot: Slot, moment: float) -> None:
        """Let what waits be due at this moment, if it would be later."""
        if not slot.is_running and slot.due > moment:
            slot.due = moment
            self._push(slot)

    def _queue(self, slots: Iterable[Slot]) -> None:
        """Let exactly these wait."""
        self._due = {}
        self._waiting = [self._entry(slot) for slot in slots]
        heapify(self._waiting)

    def _push(self, slot: Slot) -> None:
        heappush(self._waiting, self._entry(slot))

    def _entry(self, slot: Slot) -> _Entry:
        self._pushed += 1
        slot.entry = self._pushed
        return slot.due, self._pushed, slot
