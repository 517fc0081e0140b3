"""One request as scenarios see it: what was asked when, and the chance that belongs to it.

Pure; HTTP's own objects stay in `server` and `delivery`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from exporter.simulator.chance import draw, pick

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """A call for a bucket's stats."""

    seed: int
    bucket: str
    number: int  # of the calls for this bucket, from 0: buckets do not disturb each other
    now: float  # Unix time: true while scenarios are chosen, then by the server's clock
    day: date | None  # the day asked for, if it is one

    def draw(self, *key: object) -> float:
        """A number in [0, 1) of this very call."""
        return draw(self.seed, self.bucket, self.number, *key)

    def pick(self, options: Sequence[_T], *key: object) -> _T:
        """One of the options, chosen for this very call."""
        return pick(options, self.seed, self.bucket, self.number, *key)
