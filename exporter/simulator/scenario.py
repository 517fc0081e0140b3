"""What a scenario is: an entry of the table.

A scenario may change the server's clock, the world, the rows, the answer and the delivery, in
that order. Which there are is told in `scenarios` and `account_scenarios`; how they are limited
and mixed in `fault_injection`.
"""

from dataclasses import dataclass
from typing import NamedTuple

from exporter.simulator import data_faults, response_faults, world_trouble
from exporter.simulator.call import CallKind
from exporter.simulator.data_faults import AlterRows
from exporter.simulator.delivery import Deliver
from exporter.simulator.response_faults import AlterAnswer
from exporter.simulator.timeline import SECONDS_PER_DAY
from exporter.simulator.world_trouble import AlterWorld

STATS_CALLS = frozenset({CallKind.STATS})


class Window(NamedTuple):
    """A time of day in UTC that comes back daily, in seconds since 00:00; may span midnight."""

    start: float
    end: float

    def covers(self, moment: float) -> bool:
        """Whether a moment (Unix time) lies within."""
        return (moment - self.start) % SECONDS_PER_DAY < (self.end - self.start) % SECONDS_PER_DAY


@dataclass(frozen=True, slots=True)
class Scenario:
    """An entry of the table: what is changed, and by default for which calls and when."""

    name: str
    description: str
    share: float = 1.0  # of the calls
    window: Window | None = None  # None: always
    calls: frozenset[CallKind] = STATS_CALLS  # no others are hit, unless told so
    clock: float = 0.0  # seconds by which the server's clock is ahead
    revokes: bool = False  # the token that comes with the call, for good
    world: AlterWorld = world_trouble.same_world
    rows: AlterRows = data_faults.same_rows  # of a list of buckets: its entries
    answer: AlterAnswer = response_faults.same_answer
    deliver: Deliver | None = None

    @property
    def summary(self) -> str:
        """A line of help: the description, which calls if not stats, the share if not all."""
        calls = ", ".join(kind for kind in CallKind if kind in self.calls)
        start = "" if self.calls == STATS_CALLS else f"{calls}: "
        rest = f"; {self.share:.0%} of calls" if self.share < 1 else ""
        return f"{start}{self.description}{rest}"
