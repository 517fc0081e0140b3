"""One request as scenarios see it: what was asked when, and the chance that belongs to it.

Pure; HTTP's own objects stay in `server` and `delivery`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeVar

from exporter.simulator.time_and_chance import draw, pick

_T = TypeVar("_T")


class CallKind(StrEnum):
    """What the API can be asked."""

    STATS = "stats"
    LIST = "list"
    LOGIN = "login"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Call:
    """A call; `bucket` and `day` are said by those for a bucket's stats, `whose` by the others."""

    seed: int
    bucket: str
    number: int  # of this kind for this bucket or user, from 0: they do not disturb each other
    now: float  # Unix time: true while scenarios are chosen, then by the server's clock
    day: date | None  # the day asked for, if it is one
    kind: CallKind = CallKind.STATS
    whose: str = ""  # the user's e-mail address, or the token where it is nobody's

    def draw(self, *key: object) -> float:
        """A number in [0, 1) of this very call."""
        return draw(*self._key, *key)

    def pick(self, options: Sequence[_T], *key: object) -> _T:
        """One of the options, chosen for this very call."""
        return pick(options, *self._key, *key)

    @property
    def _key(self) -> tuple[object, ...]:
        if self.kind is CallKind.STATS:
            return (self.seed, self.bucket, self.number)
        return (self.seed, self.kind.value, self.whose, self.number)
