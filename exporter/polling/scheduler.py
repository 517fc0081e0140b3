"""Decides when each bucket is due: stable offsets, retries after refusals, paused accounts.

It does no I/O: time and results are arguments. All times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from exporter.model import ApiError, FailedPoll, Instant, PollResult, Reason, stable_fraction
from exporter.polling.targets import Target, Targets
from exporter.upstream.rate_limit import pause_seconds

AFTER_GRACE_SPREAD = 600.0
"""Seconds after the grace period over which the polls of `poll_after_grace` are spread."""


_Entry: TypeAlias = tuple[float, int, Target]
"""When a target is due; a sequence number, which also decides ties; the target."""


class Scheduler:
    """When each bucket is due. Offsets refer to the wall clock at the start of the process."""

    def __init__(self, targets: Targets, now: Instant) -> None:
        self._targets = targets
        self._origin = now.monotonic - now.wall
        self._waiting: list[_Entry] = []  # a heap
        self._due: dict[str, deque[_Entry]] = {}  # by account: entries that were found to be due
        self._pushed = 0
        self._paused_until: dict[str, float] = {}

    def sync(self, now: float) -> None:
        """Rebuild the schedule from the targets. `complete` adds those that are being polled."""
        self._due = {}
        self._waiting = [self._entry(target) for target in self._targets if not target.is_running]
        heapify(self._waiting)
        ended = [name for name, until in self._paused_until.items() if until <= now]
        for name in ended:
            del self._paused_until[name]

    def drop_pause(self, account: str) -> None:
        """Forget the pause of an account that was removed or has another API now."""
        self._paused_until.pop(account, None)

    def requeue_running(self, now: float) -> None:
        """Make each target with a poll in progress due now, because that poll is abandoned."""
        for target in self._targets:
            if target.is_running:
                target.is_running = False
                target.due = now
                self._push(target)

    def retry_now(self, account: str, now: float) -> None:
        """Make an account's targets that wait after a refusal due now."""
        for target in self._targets:
            if target.bucket.account == account and target.refusals:
                target.refusals = 0
                self._poll_by(target, now)

    def poll_after_grace(self, target: Target, now: Instant) -> None:
        """Poll a target soon after the grace period, because yesterday's values were kept.

        It gets a stable offset within the spread, unless its next poll comes before the spread
        ends.
        """
        grace_ends = now.monotonic + target.timing.grace_left(now.wall)
        spread = min(target.timing.poll_interval, AFTER_GRACE_SPREAD)
        if target.due > grace_ends + spread:
            self._poll_by(target, grace_ends + stable_fraction(target.bucket.id) * spread)

    def due_accounts(self, now: float) -> dict[str, float]:
        """The accounts with due polls, and when the most overdue one became due."""
        self._gather(now)
        return {account: entries[0][0] for account, entries in self._due.items()}

    def pop_due(self, now: float, account: str | None = None) -> Target | None:
        """Remove and return the most overdue target, of one account or of all; None if none is due.

        It is not due again until `complete` is called.
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
        """Schedule the next poll of a target after a result.

        Returns False if the result must be dropped: the target is gone, or a reload abandoned the
        poll.
        """
        if isinstance(result, FailedPoll):
            self.apply_pause(target.bucket.account, result.error, now.monotonic)
        if not self._targets.holds(target) or not target.is_running:
            return False
        target.is_running = False
        target.due = self._next_due(target, result, now)
        self._push(target)
        return True

    def apply_pause(self, account: str, error: ApiError, now: float) -> None:
        """Pause the account if the error is a 429."""
        if error.reason is not Reason.RATE_LIMITED:
            return
        until = now + pause_seconds(error.retry_after)
        self._paused_until[account] = max(self._paused_until.get(account, 0.0), until)
        for _, _, target in self._due.pop(account, ()):
            self._defer(target)

    def next_due(self) -> float | None:
        """When the next entry of the heap is due, not counting those already found due.

        Its account may turn out to be paused.
        """
        return self._waiting[0][0] if self._waiting else None

    def lag(self, now: float) -> float:
        """Seconds by which the most overdue poll is late."""
        return max((now - since for since in self.due_accounts(now).values()), default=0.0)

    def paused(self, now: float) -> dict[str, float]:
        """The accounts that are paused, and until when."""
        return {name: until for name, until in self._paused_until.items() if until > now}

    def _next_due(self, target: Target, result: PollResult, now: Instant) -> float:
        interval = target.timing.poll_interval
        if not self._is_refusal(target, result, now):
            target.refusals = 0
            # The first poll is not at the bucket's offset. If the offset is less than half an
            # interval away, that poll counts as the one at the offset.
            return self._offset_after(target, max(now.monotonic, target.due + interval / 2))
        due = target.due + target.timing.refusal_wait(target.refusals)
        target.refusals += 1
        return due if due > now.monotonic else self._offset_after(target, now.monotonic)

    @staticmethod
    def _is_refusal(target: Target, result: PollResult, now: Instant) -> bool:
        """Whether the poll was refused, and not only because the clocks disagree on the day."""
        if not isinstance(result, FailedPoll) or not result.error.reason.is_refusal:
            return False
        day_may_be_disputed = target.timing.is_near_midnight(now.wall)
        return not (result.error.reason is Reason.BAD_REQUEST and day_may_be_disputed)

    def _offset_after(self, target: Target, moment: float) -> float:
        """The first time after `moment` that is at the bucket's offset."""
        interval = target.timing.poll_interval
        ahead = (target.offset - (moment - self._origin)) % interval
        return moment + (ahead or interval)

    def _gather(self, now: float) -> None:
        """Move due entries from the heap to the accounts' queues, or defer them if paused."""
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
        """Move a due target of a paused account to its first offset after the pause."""
        target.due = self._offset_after(target, self._paused_until[target.bucket.account])
        self._push(target)

    def _poll_by(self, target: Target, moment: float) -> None:
        """Make a waiting target due at `moment`, unless it is due earlier."""
        if not target.is_running and target.due > moment:
            target.due = moment
            self._push(target)

    def _push(self, target: Target) -> None:
        heappush(self._waiting, self._entry(target))

    def _entry(self, target: Target) -> _Entry:
        self._pushed += 1
        target.entry = self._pushed
        return target.due, self._pushed, target
