"""What was measured of a process that polls, and whether it is flat."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MEGABYTE = 2**20

WARM = 0.1
"""The part of the polls after which pools, caches and the allocator have what they need."""

WINDOW = 0.1
"""How far around a point the memory's median and the least descriptors are taken: a single sample
may stand in a burst of failures, and connections come and go with them."""

RSS_PER_10_000 = 0.5
"""Megabytes that 10,000 polls may add. A leak of one small object per poll, 100 bytes, adds 1."""

RSS_NOISE = 8.0
"""Megabytes by which memory may grow however few the polls: what trouble had not yet asked for."""

MORE_FDS = 32
"""Connections that may stay open beyond those at the start, in pools that trouble has widened."""


class Sample(NamedTuple):
    """One look at the process."""

    polls: int
    rss: int  # bytes
    fds: int


@dataclass
class Measured:
    """A soak as far as it has come."""

    samples: list[Sample] = field(default_factory=list)
    failures: Mapping[str, int] = field(default_factory=dict)
    untrue: list[str] = field(default_factory=list)

    def near(self, share: float) -> Sample:
        """What is usual around a point of the way."""
        last = self.samples[-1].polls
        near = [each for each in self.samples if abs(each.polls / last - share) <= WINDOW]
        near = near or [min(self.samples, key=lambda each: abs(each.polls / last - share))]
        fds = min(each.fds for each in near)
        return Sample(round(share * last), round(median(each.rss for each in near)), fds)

    @property
    def rss_per_10_000(self) -> float:
        """Megabytes that 10,000 polls added once it was warm."""
        start, end = self.near(WARM), self.near(1)
        return (end.rss - start.rss) / MEGABYTE / max(end.polls - start.polls, 1) * 10_000

    def findings(self) -> Iterator[str]:
        """What is not flat."""
        start, end = self.near(WARM), self.near(1)
        growth = (end.rss - start.rss) / MEGABYTE
        if self.rss_per_10_000 > RSS_PER_10_000 and growth > RSS_NOISE:
            yield f"memory grows by {self.rss_per_10_000:.2f} MB per 10,000 polls, {growth:.1f} MB"
        if end.fds > start.fds + MORE_FDS:
            yield f"file descriptors grow: {start.fds} and then {end.fds}"

    def table(self) -> str:
        """All of it for people."""
        rows = [f"{'':>6} {'polls':>9} {'RSS':>9} {'least fds':>10}"]
        for share in (WARM, 0.5, 1.0):
            there = self.near(share)
            rss = f"{there.rss / MEGABYTE:.1f} MB"
            rows.append(f"{share:>6.0%} {there.polls:>9,} {rss:>9} {there.fds:>10}")
        failures = ", ".join(f"{why} {n:,}" for why, n in sorted(self.failures.items()) if n)
        rows.append(f"growth once warm: {self.rss_per_10_000:+.3f} MB per 10,000 polls")
        rows.append(f"failed attempts: {failures or 'none'}")
        return "\n".join(rows)
