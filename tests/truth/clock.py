"""A virtual clock that can jump, and that remembers its jumps.

Both clocks jump together when the machine was suspended. Only the wall clock jumps when it is set.
Neither affects running timers.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.harness.virtual_loop import VirtualClock

SECONDS_PER_DAY = 86400


class JumpingClock(VirtualClock):
    """A clock that can be suspended or set."""

    def __init__(self, wall: float, time: Callable[[], float] | None = None) -> None:
        self._slept = 0.0
        super().__init__(wall, time)
        self._offsets: list[tuple[float, float]] = [(-1.0, self._ahead)]
        """(monotonic time, offset of the wall clock from then on)."""
        self.jumps: list[tuple[float, float]] = []
        """Monotonic times before and after each jump of both clocks."""

    def monotonic(self) -> float:
        return super().monotonic() + self._slept

    def set_wall(self, wall: float) -> None:
        """Set the wall clock, as an administrator does."""
        now = self.monotonic()
        self._ahead = wall - now
        self._offsets.append((now, self._ahead))

    def suspend(self, seconds: float) -> None:
        """Suspend the machine: both clocks jump ahead, but no timer does."""
        before = self.monotonic()
        self._slept += seconds
        self.jumps.append((before, before + seconds))

    def moments(self, wall: float) -> list[float]:
        """The monotonic times at which the wall clock showed `wall`; none if that was skipped."""
        found = []
        for number, (start, offset) in enumerate(self._offsets):
            end = self._offsets[number + 1][0] if number + 1 < len(self._offsets) else float("inf")
            if start <= wall - offset <= end:
                found.append(wall - offset)
        return found

    def wall_at(self, monotonic: float) -> float:
        """The wall clock's time at a monotonic time."""
        offset = next(offset for start, offset in reversed(self._offsets) if start <= monotonic)
        return monotonic + offset

    def was_set_since(self, monotonic: float) -> bool:
        """Whether the wall clock was set, or both clocks jumped, since a monotonic time."""
        return self._offsets[-1][0] >= monotonic or self.jumped_since(monotonic)

    def jumped_since(self, monotonic: float) -> bool:
        """Whether both clocks jumped since a monotonic time."""
        return bool(self.jumps) and self.jumps[-1][1] >= monotonic

    def slept(self, start: float, end: float) -> float:
        """The seconds between two monotonic times that both clocks skipped."""
        return sum(after - before for before, after in self.jumps if start < after <= end)
