"""Measurements of an exporter process, and the rules for whether its memory and files are flat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

MEGABYTE = 2**20

WARM = 0.1
"""The share of the polls after which pools, caches and allocators count as warm."""

NEARLY_ALL = 0.95
"""The share of the previous days that must be present before the process counts as warm.

Each bucket's previous day is requested once, when no poll is due, and kept for a day.
"""

LATEST_WARM = 0.5
"""The share of the polls by which the process must be warm, so that enough polls remain."""

WINDOW = 0.1
"""The share of the polls over which medians are taken: a sample may hit a burst of failures."""

IN_USE_PER_10_000 = 0.5
"""Megabytes of allocated memory that may be added per 10,000 polls.

A leak of one small object of 100 bytes per poll adds 1.
"""

IN_USE_NOISE = 7.0
"""Megabytes by which allocated memory may grow in any case.

Faults change the size of readings for a while, and `exporter.gc_tuning` searches frozen dead cycles
only later.
"""

RSS_NOISE = 32.0
"""Megabytes by which resident memory may grow in any case.

Responses with hundreds of nodes or long names need about 5 more each. Small blocks are allocated
between them, so that the memory is reused but hardly ever returned. This ends when no fault is new
any more.
"""

MORE_FDS = 32
"""By how much the fewest open files of the second half may exceed those of the first half.

During faults the pools grow, and their connections stay open for the keep-alive time, which is
longer than a window. A leaked file is open even in the quietest moment of a half.
"""


class Sample(NamedTuple):
    """One measurement of the process."""

    polls: int
    rss: int  # bytes
    in_use: int  # bytes
    fds: int
    previous_days: int  # buckets that have one


class Usual(NamedTuple):
    """Medians over a window."""

    polls: int
    rss: int  # bytes
    in_use: int  # bytes


@dataclass
class Measured:
    """The measurements so far."""

    samples: list[Sample] = field(default_factory=list)
    failures: Mapping[str, int] = field(default_factory=dict)
    untrue: list[str] = field(default_factory=list)

    @property
    def warm(self) -> float:
        """The share of the polls after which the process was warm."""
        last = self.samples[-1]
        enough = NEARLY_ALL * max(each.previous_days for each in self.samples)
        there = next(each for each in self.samples if each.previous_days >= enough)
        return max(WARM, there.polls / last.polls)

    def around(self, share: float) -> Usual:
        """The medians over a window around `share` of the polls, once the process is warm."""
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
        """Megabytes of allocated memory added per 10,000 polls, once warm."""
        start, end = self.around(self.warm), self.around(1)
        return (end.in_use - start.in_use) / MEGABYTE / max(end.polls - start.polls, 1) * 10_000

    @property
    def least_fds(self) -> tuple[int, int]:
        """The fewest open files in the first half, once warm, and in the second half."""
        last = self.samples[-1].polls
        warm = [each for each in self.samples if each.polls >= self.warm * last]
        middle = len(warm) // 2
        return min(each.fds for each in warm[: middle + 1]), min(each.fds for each in warm[middle:])

    def findings(self) -> Iterator[str]:
        """Everything that is not flat."""
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
        """The result as a readable table."""
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
