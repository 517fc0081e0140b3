"""Which bucket is due when: stable offsets, re-checks after refusals, pauses of accounts.

Pure: it is told the time and what happened, and says what is due. All times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from exporter.model import ApiError, FailedPoll, Instant, PollResult, Reason, place_of
from exporter.polling.targets import Target, Targets
from exporter.upstream.rate_limit import pause_seconds

AFTER_GRACE_SPREAD = 600.0
"""Buckets that still show yesterday when the grace ends are asked again within so many seconds."""


_Entry: TypeAlias = tuple[float, int, Target]
"""When a target is due, and a number: of two that are due at once the older one comes first."""


class Scheduler:
    """When each bucket is due. Offsets are anchored to the wall clock as it was at the start."""

    def __init__(self, targets: Targets, now: Instant) -> None:
        self._targets = targets
        self._origin = now.monotonic - now.wall
        self._waiting: list[_Entry] = []  # a heap
        self._due: dict[str, deque[_Entry]] = {}  # by account: what was seen to be due
        self._pushed = 0
        self._paused_until: dict[str, float] = {}

    def sync(self, now: float) -> None:
        """The targets are others now: exactly these wait, as long as they are not being polled."""
        self._due = {}
        self._waiting = [self._entry(target) for target in self._targets if not target.is_running]
        heapify(self._waiting)
        ended = [name for name, until in self._paused_until.items() if until <= now]
        for name in ended:
            del self._paused_until[name]

    def drop_pause(self, account: str) -> None:
        """An account of this name is another one from now on, or none."""
        self._paused_until.pop(account, None)

    def requeue_running(self, now: float) -> None:
        """The polls that are running will not end: their targets are due at once."""
        for target in self._targets:
            if target.is_running:
                target.is_running = False
                target.due = now
                self._push(target)

    def retry_now(self, account: str, now: float) -> None:
        """What waits in an account for another try after a refusal is due at once."""
        for target in self._targets:
            if target.bucket.account == account and target.refusals:
                target.refusals = 0
                self._ask_by(target, now)

    def ask_after_grace(self, target: Target, now: Instant) -> None:
        """Yesterday's reading of a target was kept: ask again soon after the grace has ended.

        At a stable offset, so that many buckets are spread, and only where its next poll would come
        after all of these times.
        """
        grace_ends = now.monotonic + target.timing.grace_left(now.wall)
        spread = min(target.timing.poll_interval, AFTER_GRACE_SPREAD)
        if target.due > grace_ends + spread:
            self._ask_by(target, grace_ends + place_of(target.bucket.id) * spread)

    def due_accounts(self, now: float) -> dict[str, float]:
        """The accounts that have something due, each with since when the most overdue is."""
        self._gather(now)
        return {account: entries[0][0] for account, entries in self._due.items()}

    def pop_due(self, now: float, account: str | None = None) -> Target | None:
        """The most overdue bucket, of one account or of all; None where nothing is due.

        It is not due again until it is handed back.
        """
        self._gather(now)
        if account is None and self._due:
            account = min(self._due, key=lambda name: self._due[name][0])
        if account is None or account not in self._due:
            return None
        entries = self._due[account]
        target = entries.popleft()[2]
        if not entries:
            del self._due[account]
        target.is_running = True
        target.entry = 0
        return target

    def complete(self, target: Target, result: PollResult, now: Instant) -> bool:
        """Its poll ended like this: plan the next one. False if it is not planned any more."""
        if isinstance(result, FailedPoll):
            self.apply_pause(target.bucket.account, result.error, now.monotonic)
        if not self._targets.holds(target) or not target.is_running:
            return False
        target.is_running = False
        target.due = self._next_due(target, result, now)
        self._push(target)
        return True

    def apply_pause(self, account: str, error: ApiError, now: float) -> None:
        """Pause an account if that is what an error asks for."""
        if error.reason is not Reason.RATE_LIMITED:
            return
        until = now + pause_seconds(error.retry_after)
        self._paused_until[account] = max(self._paused_until.get(account, 0.0), until)
        for _, _, target in self._due.pop(account, ()):
            self._defer(target)

    def next_due(self) -> float | None:
        """When the next bucket becomes due that was not seen to be; it may prove to be paused."""
        return self._waiting[0][0] if self._waiting else None

    def lag(self, now: float) -> float:
        """How late the most overdue bucket is, seconds."""
        return max((now - since for since in self.due_accounts(now).values()), default=0.0)

    def paused(self, now: float) -> dict[str, float]:
        """The accounts that are paused, and until when."""
        return {name: until for name, until in self._paused_until.items() if until > now}

    def _next_due(self, target: Target, result: PollResult, now: Instant) -> float:
        interval = target.timing.poll_interval
        if not self._lengthens_wait(target, result, now):
            target.refusals = 0
            # The first poll is off the offset: it stands for a slot less than half an interval on.
            return self._offset_after(target, max(now.monotonic, target.due + interval / 2))
        due = target.due + target.timing.refusal_wait(target.refusals)
        target.refusals += 1
        return due if due > now.monotonic else self._offset_after(target, now.monotonic)

    @staticmethod
    def _lengthens_wait(target: Target, result: PollResult, now: Instant) -> bool:
        """Whether it was refused, and not just because the clocks disagree on the day."""
        if not isinstance(result, FailedPoll) or not result.error.reason.is_refusal:
            return False
        day_may_be_disputed = target.timing.is_near_midnight(now.wall)
        return not (result.error.reason is Reason.BAD_REQUEST and day_may_be_disputed)

    def _offset_after(self, target: Target, moment: float) -> float:
        """The next time at the bucket's offset, later than `moment`."""
        interval = target.timing.poll_interval
        ahead = (target.offset - (moment - self._origin)) % interval
        return moment + (ahead or interval)

    def _gather(self, now: float) -> None:
        """Sort what has become due by account; what is paused waits for the end of the pause."""
        while self._waiting and self._waiting[0][0] <= now:
            entry = heappop(self._waiting)
            _, number, target = entry
            if number != target.entry or not self._targets.holds(target):
                continue
            account = target.bucket.account
            if self._paused_until.get(account, 0.0) > now:
                self._defer(target)
            else:
                self._due.setdefault(account, deque()).append(entry)

    def _defer(self, target: Target) -> None:
        """Move what is due in a paused account to its first slot after the pause."""
        target.due = self._offset_after(target, self._paused_until[target.bucket.account])
        self._push(target)

    def _ask_by(self, target: Target, moment: float) -> None:
        """Let what waits be due at this moment, if it would be later."""
        if not target.is_running and target.due > moment:
            target.due = moment
            self._push(target)

    def _push(self, target: Target) -> None:
        heappush(self._waiting, self._entry(target))

    def _entry(self, target: Target) -> _Entry:
        self._pushed += 1
        target.entry = self._pushed
        return target.due, self._pushed, target
