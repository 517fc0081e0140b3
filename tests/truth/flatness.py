"""What was measured of a process that polls, and whether it is flat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

MEGABYTE = 2**20

WARM = 0.1
"""The part of the polls after which pools, caches and the allocators have what they need."""

NEARLY_ALL = 0.95
"""So much of the previous days must be there too: each bucket's comes once and stays for a day, but
only when the polls leave time for it."""

LATEST_WARM = 0.5
"""The part of the polls by which it must be warm: the rest is too short to judge."""

WINDOW = 0.1
"""The part of the polls over which medians are taken: a single sample may stand in a burst of
failures."""

IN_USE_PER_10_000 = 0.5
"""Megabytes that 10,000 polls may add to what is in use. A leak of one small object per poll, 100
bytes, adds 1."""

IN_USE_NOISE = 7.0
"""Megabytes by which it may grow however few the polls: faults make readings smaller or larger
for a while, and dead cycles that `exporter.gc_tuning` has frozen are not looked for yet."""

RSS_NOISE = 32.0
"""Megabytes by which resident memory may grow, however many the polls. Answers with hundreds of
nodes or long names ask for some 5 more at a time, between which small pieces come to lie: what is
free is used again, but hardly ever given back. That ends when no fault is new any more."""

MORE_FDS = 32
"""By how many the fewest open files may be more in the second half than in the first. Trouble
widens the pools, and what it has opened stays for as long as connections are kept alive: longer
than a window. What is lost is open in the quietest moment of a half, too."""


class Sample(NamedTuple):
    """One look at the process."""

    polls: int
    rss: int  # bytes
    in_use: int  # bytes
    fds: int
    previous_days: int  # of so many buckets


class Usual(NamedTuple):
    """The medians of a window."""

    polls: int
    rss: int  # bytes
    in_use: int  # bytes


@dataclass
class Measured:
    """A soak as far as it has come."""

    samples: list[Sample] = field(default_factory=list)
    failures: Mapping[str, int] = field(default_factory=dict)
    untrue: list[str] = field(default_factory=list)

    @property
    def warm(self) -> float:
        """The part of the polls after which it was warm."""
        last = self.samples[-1]
        enough = NEARLY_ALL * max(each.previous_days for each in self.samples)
        there = next(each for each in self.samples if each.previous_days >= enough)
        return max(WARM, there.polls / last.polls)

    def around(self, share: float) -> Usual:
        """What is usual in a window around a point of the way, after the warming and to the end."""
        last = self.samples[-1].polls
        begin = max(self.warm, min(share - WINDOW / 2, 1 - WINDOW))
        near = [each for each in self.samples if begin <= each.polls / last <= begin + WINDOW]
        near = near or [min(self.samples, key=lambda each: abs(each.polls / last - share))]
        return Usual(
            round(median(each.polls for each in near)),
            round(median(each.rss for each in near)),
            round(median(each.in_use for each in near)),
        )

    @property
    def in_use_per_10_000(self) -> float:
        """Megabytes that 10,000 polls added to what is in use, once it was warm."""
        start, end = self.around(self.warm), self.around(1)
        return (end.in_use - start.in_use) / MEGABYTE / max(end.polls - start.polls, 1) * 10_000

    @property
    def least_fds(self) -> tuple[int, int]:
        """The fewest open files in the first half, once it was warm, and in the second."""
        last = self.samples[-1].polls
        warm = [each for each in self.samples if each.polls >= self.warm * last]
        middle = len(warm) // 2
        return min(each.fds for each in warm[: middle + 1]), min(each.fds for each in warm[middle:])

    def findings(self) -> Iterator[str]:
        """What is not flat."""
        if self.warm > LATEST_WARM:
            yield f"it was warm only after {self.warm:.0%} of the polls: nothing can be said"
            return
        start, end = self.around(self.warm), self.around(1)
        growth = (end.in_use - start.in_use) / MEGABYTE
        if self.in_use_per_10_000 > IN_USE_PER_10_000 and growth > IN_USE_NOISE:
            rate = f"{self.in_use_per_10_000:.2f} MB per 10,000 polls"
            yield f"memory in use grows by {rate}, {growth:.1f} MB"
        if (end.rss - start.rss) / MEGABYTE > RSS_NOISE:
            yield f"resident memory grows by {(end.rss - start.rss) / MEGABYTE:.1f} MB"
        first, then = self.least_fds
        if then > first + MORE_FDS:
            yield f"file descriptors grow: {first} and then {then}"

    def table(self) -> str:
        """All of it for people."""
        rows = [f"{'around':>6} {'polls':>9} {'in use':>9} {'RSS':>9}"]
        for there in map(self.around, (self.warm, 0.5, 1.0)):
            share = f"{there.polls / self.samples[-1].polls:.0%}"
            in_use, rss = (f"{each / MEGABYTE:.1f} MB" for each in (there.in_use, there.rss))
            rows.append(f"{share:>6} {there.polls:>9,} {in_use:>9} {rss:>9}")
        failures = ", ".join(f"{why} {n:,}" for why, n in sorted(self.failures.items()) if n)
        rows.append(f"in use, once warm: {self.in_use_per_10_000:+.3f} MB per 10,000 polls")
        first, then = self.least_fds
        rows.append(f"fewest open files: {first} in the first half, then {then}")
        rows.append(f"failed attempts: {failures or 'none'}")
        return "\n".join(rows)
