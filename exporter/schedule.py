"""Which bucket is due when: stable offsets, re-checks after refusals, pauses of accounts.

Pure: it is told the time and what happened, and says what is due. All times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from exporter.model import Bucket, BucketKey, Failure, Instant, Outcome, Reason, Timing

if TYPE_CHECKING:
    from collections.abc import Iterator

PAUSE_BOUNDS = (1.0, 300.0)
"""Whatever a 429 asks for, seconds: less would hammer, more would blind."""

DEFAULT_PAUSE = 30.0
"""For a 429 without a Retry-After, seconds."""


@dataclass(slots=True)
class Slot:
    """A bucket's place in the schedule: handed out when due, handed back when its poll ended."""

    bucket: Bucket
    timing: Timing
    due: float
    refusals: int = field(default=0)  # in a row, as far as they lengthen the next wait

    @property
    def offset(self) -> float:
        """Where in its interval the bucket is due, seconds: the same in every process."""
        digest = blake2b(self.bucket.id.encode(errors="surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64 * self.timing.poll_interval


class Schedule:
    """When each bucket is due. Offsets are anchored to the wall clock as it was at the start."""

    def __init__(self, now: Instant) -> None:
        self._origin = now.monotonic - now.wall
        self._slots: dict[BucketKey, Slot] = {}
        self._waiting: list[tuple[float, int, Slot]] = []
        self._pushed = 0
        self._paused_until: dict[str, float] = {}

    def add(self, bucket: Bucket, timing: Timing, now: float) -> None:
        """A bucket that is due at once, and then once per interval."""
        slot = Slot(bucket, timing, now)
        self._slots[bucket.key] = slot
        self._push(slot)

    def take_due(self, now: float) -> Slot | None:
        """The most overdue bucket, or None. It is not due again until it is handed back."""
        self._defer_paused(now)
        if self._waiting and self._waiting[0][0] <= now:
            return heappop(self._waiting)[2]
        return None

    def hand_back(self, slot: Slot, outcome: Outcome, now: Instant) -> None:
        """Its poll ended like this: plan the next one."""
        if isinstance(outcome, Failure) and outcome.fault.reason is Reason.RATE_LIMITED:
            self._pause(slot.bucket.account, outcome.fault.retry_after, now.monotonic)
        slot.due = self._next_due(slot, outcome, now)
        self._push(slot)

    def next_due(self) -> float | None:
        """When the next bucket is due; it may be past, and it may turn out to be paused."""
        return self._waiting[0][0] if self._waiting else None

    def lag(self, now: float) -> float:
        """How late the most overdue bucket is, seconds."""
        self._defer_paused(now)
        return max(0.0, now - self._waiting[0][0]) if self._waiting else 0.0

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
        ceiling = max(slot.timing.recheck_interval, interval)
        wait = min(interval * 2.0 ** min(slot.refusals, 32), ceiling)
        slot.refusals += 1
        due = slot.due + wait
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

    def _pause(self, account: str, retry_after: float | None, now: float) -> None:
        least, most = PAUSE_BOUNDS
        seconds = DEFAULT_PAUSE if retry_after is None else min(max(retry_after, least), most)
        self._paused_until[account] = max(self._paused_until.get(account, 0.0), now + seconds)

    def _defer_paused(self, now: float) -> None:
        """Move what is due in a paused account to its first slot after the pause."""
        while self._waiting and self._waiting[0][0] <= now:
            slot = self._waiting[0][2]
            until = self._paused_until.get(slot.bucket.account, 0.0)
            if until <= now:
                return
            heappop(self._waiting)
            slot.due = self._offset_after(slot, until)
            self._push(slot)

    def _push(self, slot: Slot) -> None:
        self._pushed += 1
        heappush(self._waiting, (slot.due, self._pushed, slot))
