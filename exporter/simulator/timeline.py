"""What happens to a machine in a day: when it is up, and when it answers slowly.

A day becomes a few gapless stretches, so figures over any part of it are sums over stretches.
Latencies and the API's rows are made of this in `world`.
"""

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from exporter.simulator.machines import Machine
from exporter.simulator.time_and_chance import draw

SECONDS_PER_DAY = 86400
ONLINE, OFFLINE, DISCONNECTED = "ONLINE", "OFFLINE", "DISCONNECTED"

_SLOTS_PER_DAY = 8
_SLOT = SECONDS_PER_DAY / _SLOTS_PER_DAY
_OUTAGE_CHANCE = 0.05  # of each slot: every node is down about twice in five days
_OFFLINE_SHARE = 0.6  # of outages; the rest is DISCONNECTED
_SHORTEST_OUTAGE, _LONGEST_OUTAGE = 120.0, 2700.0  # seconds; within a slot, so none overlap


class Stretch(NamedTuple):
    """A part of a day, in seconds since 00:00 UTC, over which nothing changes."""

    start: float
    end: float
    status: str = ONLINE
    slowness: float = 1.0  # what latencies are multiplied by

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start


class HourlyEvent(NamedTuple):
    """Something scripted that comes in each hour to machines with `host_part` in their host."""

    host_part: str
    from_minute: int
    to_minute: int
    status: str = ONLINE
    slowness: float = 1.0


@lru_cache(maxsize=4096)
def day_stretches(
    seed: int, machine: Machine, day_number: int, events: tuple[HourlyEvent, ...] = ()
) -> tuple[Stretch, ...]:
    """A machine's whole day, in order and without gaps; `day_number` counts from 1970-01-01."""
    happenings = _outages(seed, machine.ip, day_number) + _hourly(machine.host, events)
    bounds = {0.0, float(SECONDS_PER_DAY)}
    bounds.update(bound for happening in happenings for bound in happening[:2])
    return tuple(_overlay(start, end, happenings) for start, end in pairwise(sorted(bounds)))


def stretches_until(stretches: tuple[Stretch, ...], second: float) -> list[Stretch]:
    """The part of a day that lies before `second`, its last stretch cut short."""
    return [
        stretch._replace(end=min(stretch.end, second))
        for stretch in stretches
        if stretch.start < second
    ]


def _outages(seed: int, ip: str, day_number: int) -> list[Stretch]:
    keys = [(seed, "outage", ip, day_number, slot) for slot in range(_SLOTS_PER_DAY)]
    return [_outage(key) for key in keys if draw(*key) < _OUTAGE_CHANCE]


def _outage(key: tuple[int, str, str, int, int]) -> Stretch:
    length = _SHORTEST_OUTAGE + draw(*key, "length") * (_LONGEST_OUTAGE - _SHORTEST_OUTAGE)
    start = key[-1] * _SLOT + draw(*key, "start") * (_SLOT - length)
    status = OFFLINE if draw(*key, "status") < _OFFLINE_SHARE else DISCONNECTED
    return Stretch(start, start + length, status)


def _hourly(host: str, events: tuple[HourlyEvent, ...]) -> list[Stretch]:
    return [
        Stretch(
            hour * 3600.0 + event.from_minute * 60,
            hour * 3600.0 + event.to_minute * 60,
            event.status,
            event.slowness,
        )
        for event in events
        if event.host_part in host
        for hour in range(24)
    ]


def _overlay(start: float, end: float, happenings: list[Stretch]) -> Stretch:
    """One stretch under all that happens in it: down if anything says so, slow as the slowest."""
    here = [happening for happening in happenings if happening.start <= start < happening.end]
    down = (happening.status for happening in here if happening.status != ONLINE)
    slowness = max((happening.slowness for happening in here), default=1.0)
    return Stretch(start, end, next(down, ONLINE), slowness)
