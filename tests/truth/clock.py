"""A virtual clock whose hands can be moved, and which remembers what they said when.

Wall and monotonic time can jump together, as when a machine was suspended, or the wall clock alone,
as when somebody sets it. Timers that are running do not notice either.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.harness.virtual_loop import VirtualClock

SECONDS_PER_DAY = 86400


class JumpingClock(VirtualClock):
    """A clock that can be moved forward or set."""

    def __init__(self, wall: float, time: Callable[[], float] | None = None) -> None:
        self._slept = 0.0
        super().__init__(wall, time)
        self._offsets: list[tuple[float, float]] = [(-1.0, self._ahead)]
        """From which monotonic time on the wall clock was ahead of it by how much."""
        self.jumps: list[tuple[float, float]] = []
        """Monotonic time before and after each jump of the two clocks together."""

    def monotonic(self) -> float:
        return super().monotonic() + self._slept

    def set_wall(self, wall: float) -> None:
        """Somebody sets the wall clock."""
        now = self.monotonic()
        self._ahead = wall - now
        self._offsets.append((now, self._ahead))

    def suspend(self, seconds: float) -> None:
        """The machine was asleep for so long: both clocks went on, no timer did."""
        before = self.monotonic()
        self._slept += seconds
        self.jumps.append((before, before + seconds))

    def moments(self, wall: float) -> list[float]:
        """The monotonic times at which the wall clock said `wall`; one may have been skipped."""
        found = []
        for number, (start, offset) in enumerate(self._offsets):
            end = self._offsets[number + 1][0] if number + 1 < len(self._offsets) else float("inf")
            if start <= wall - offset <= end:
                found.append(wall - offset)
        return found

    def wall_at(self, monotonic: float) -> float:
        """What the wall clock said at a monotonic time."""
        offset = next(offset for start, offset in reversed(self._offsets) if start <= monotonic)
        return monotonic + offset

    def was_set_since(self, monotonic: float) -> bool:
        """Whether the wall clock was set, or either jumped, since then."""
        return self._offsets[-1][0] >= monotonic or self.jumped_since(monotonic)

    def jumped_since(self, monotonic: float) -> bool:
        """Whether both clocks jumped since then."""
        return bool(self.jumps) and self.jumps[-1][1] >= monotonic

    def slept(self, start: float, end: float) -> float:
        """How many seconds between two monotonic times both clocks jumped over."""
        return sum(after - before for before, after in self.jumps if start < after <= end)
