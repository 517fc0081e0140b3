"""The correct figures: the nodes, and what the API knows about each at a given time.

Pure and deterministic in (seed, bucket, day, now). A machine's day is divided into stretches with a
constant status, and latency is a sum of sine waves, so averages are exact integrals. HTTP and
faults in responses belong elsewhere.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple, TypeAlias, TypeVar

SECONDS_PER_DAY = 86400
_EPOCH = date(1970, 1, 1).toordinal()
_T = TypeVar("_T")
_FLOAT_BITS = 53  # the precision of a float, so that no result is rounded up to 1


def draw(*key: object) -> float:
    """A number in [0, 1), uniformly distributed over keys of strings and numbers."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - _FLOAT_BITS)) / 2.0**_FLOAT_BITS


def pick(options: Sequence[_T], *key: object) -> _T:
    return options[int(draw(*key) * len(options))]


def paced(
    start: float, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """A clock that starts at `start` (Unix time) and runs `speed` times as fast as real time."""
    origin = monotonic()
    return lambda: start + (monotonic() - origin) * speed


def day_to_unix(day: date) -> int:
    """The Unix time of 00:00 UTC of a day."""
    return (day.toordinal() - _EPOCH) * SECONDS_PER_DAY


def unix_to_day(now: float) -> date:
    return date.fromordinal(_EPOCH + int(now // SECONDS_PER_DAY))


def unix_to_text(moment: float) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")


class Machine(NamedTuple):
    """A storage node, which is the same machine for all buckets."""

    ip: str
    host: str
    typical_latency: float  # milliseconds
    busiest_hour: float  # of the UTC day


PUBLIC_MACHINES = (
    Machine("198.51.100.11", "*-us-east-1-aws.flashback.tech", 38.0, 19.0),
    Machine("198.51.100.27", "*-us-east-1-gcp.flashback.tech", 44.0, 19.5),
    Machine("198.51.100.42", "*-us-east-1-azure.flashback.tech", 52.0, 20.0),
    Machine("203.0.113.11", "*-eu-central-1-aws.flashback.tech", 71.0, 13.0),
    Machine("203.0.113.27", "*-eu-central-1-gcp.flashback.tech", 78.0, 13.5),
    Machine("203.0.113.42", "*-eu-central-1-azure.flashback.tech", 93.0, 14.0),
)
"""The six public nodes, with addresses that are reserved for documentation."""

PRIVATE_MACHINES = (
    Machine("10.20.0.5", "storage.corp.example", 6.0, 10.0),
    Machine("10.20.0.6", "storage.corp.example", 7.0, 10.0),
    Machine("fd00:20::7", "*-munich-minio.corp.example:9000", 12.0, 11.0),
)
"""An organisation's own nodes: two with the same host, one with an IPv6 address and a port."""

HUNDREDS_OF_MACHINES = tuple(
    Machine(f"10.77.{rack}.{slot + 1}", f"*-rack-{rack:02}-{slot:02}.corp.example", 9.0 + slot, 9.0)
    for rack in range(10)
    for slot in range(30)
)

_CHECK_EVERY = 45.0  # seconds between two checks of a node
_CHECK_TAKES = 3.0  # seconds until the result of a check is available
_DIURNAL = (float(SECONDS_PER_DAY), 0.25)
_NOISE = ((7919.0, 0.06), (1217.0, 0.05), (241.0, 0.05), (67.0, 0.04))
"""Waves as (period in seconds, share of the typical latency). Their sum stays below 1."""

ONLINE, OFFLINE, DISCONNECTED = "ONLINE", "OFFLINE", "DISCONNECTED"

_SLOTS_PER_DAY = 8
_SLOT = SECONDS_PER_DAY / _SLOTS_PER_DAY
_OUTAGE_CHANCE = 0.05  # per slot: a node is down about twice in five days
_OFFLINE_SHARE = 0.6  # of outages; the others are DISCONNECTED
_SHORTEST_OUTAGE, _LONGEST_OUTAGE = 120.0, 2700.0  # seconds; within a slot, so none overlap


class Stretch(NamedTuple):
    """A part of a day with one status, in seconds since 00:00 UTC."""

    start: float
    end: float
    status: str = ONLINE
    slowness: float = 1.0  # factor for latencies

    @property
    def length(self) -> float:
        return self.end - self.start


class HourlyEvent(NamedTuple):
    """An outage or a slowdown in each hour, for machines whose host contains `host_part`."""

    host_part: str
    from_minute: int
    to_minute: int
    status: str = ONLINE
    slowness: float = 1.0


@lru_cache(maxsize=4096)
def day_stretches(
    seed: int, machine: Machine, day_number: int, events: tuple[HourlyEvent, ...] = ()
) -> tuple[Stretch, ...]:
    """The stretches of a machine's day, without gaps; `day_number` counts from 1970-01-01."""
    happenings = _outages(seed, machine.ip, day_number) + _hourly(machine.host, events)
    bounds = {0.0, float(SECONDS_PER_DAY)}
    bounds.update(bound for happening in happenings for bound in happening[:2])
    return tuple(_overlay(start, end, happenings) for start, end in pairwise(sorted(bounds)))


def stretches_until(stretches: tuple[Stretch, ...], second: float) -> list[Stretch]:
    """The stretches before `second`; the last one is cut off there."""
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
    """Combine the events during a stretch: down if any is down, with the highest slowness."""
    here = [happening for happening in happenings if happening.start <= start < happening.end]
    down = (happening.status for happening in here if happening.status != ONLINE)
    slowness = max((happening.slowness for happening in here), default=1.0)
    return Stretch(start, end, next(down, ONLINE), slowness)


Row: TypeAlias = dict[str, object]
"""An entry of `nodeStats` in the JSON body."""


class Denominator(Enum):
    """What today's `perc_uptime` is a share of, which the vendor does not document."""

    ELAPSED = "elapsed"
    WHOLE_DAY = "whole day"


@dataclass(frozen=True, slots=True)
class NodeDay:
    """The figures of a node for a day, before faults change them."""

    ip: str
    host: str
    version: str
    status: str
    uptime_percent: float
    latency_average: float | None  # milliseconds; None if never up on that day
    latency_last: float | None  # milliseconds, measured when the node was last up on that day
    last_updated: float  # Unix time

    def row(self) -> Row:
        """The entry of `nodeStats`, in the documented order of fields."""
        return {
            "ip": self.ip,
            "host": self.host,
            "perc_uptime": self.uptime_percent,
            "avg_latency_ms": self.latency_average,
            "version": self.version,
            "node_status": self.status,
            "last_updated": unix_to_text(self.last_updated),
            "last_latency_ms": self.latency_last,
        }


@dataclass(frozen=True, slots=True)
class World:
    """The correct data of all nodes. Equal worlds give equal figures."""

    seed: int
    machines: tuple[Machine, ...] = PUBLIC_MACHINES
    events: tuple[HourlyEvent, ...] = ()
    denominator: Denominator = Denominator.ELAPSED

    def stats(self, bucket: str, day: date, now: float) -> tuple[NodeDay, ...]:
        """The bucket's nodes on a UTC day, as known at `now` (Unix time).

        A past day has its final figures. A node appears with its first check of the day, within a
        minute of 00:00. A future day has no nodes.
        """
        elapsed = min(now - day_to_unix(day), SECONDS_PER_DAY)
        checks = ((machine, self._checked(machine, elapsed)) for machine in self.machines)
        return tuple(
            self._node_day(bucket, machine, day, checked)
            for machine, checked in checks
            if checked > 0
        )

    def _checked(self, machine: Machine, elapsed: float) -> float:
        """The second of the day of a machine's last check; the end of the day for a past day."""
        if elapsed == SECONDS_PER_DAY:
            return elapsed
        phase = draw(self.seed, "check", machine.ip) * _CHECK_EVERY
        return (elapsed - _CHECK_TAKES - phase) // _CHECK_EVERY * _CHECK_EVERY + phase

    def _node_day(self, bucket: str, machine: Machine, day: date, checked: float) -> NodeDay:
        number = day_to_unix(day) // SECONDS_PER_DAY
        known = _summary(self.seed, machine, number, self.events, checked)
        seconds = checked if self.denominator is Denominator.ELAPSED else SECONDS_PER_DAY
        distance = 0.9 + 0.2 * draw(self.seed, "distance", bucket, machine.ip)
        typical = machine.typical_latency * distance
        return NodeDay(
            ip=machine.ip,
            host=machine.host,
            version=_version(self.seed, machine, number),
            status=known.status,
            uptime_percent=round(min(100 * known.seconds_up / seconds, 100.0), 2),
            latency_average=_times(typical, known.latency_average),
            latency_last=_times(typical, known.latency_last),
            last_updated=day_to_unix(day) + min(checked, SECONDS_PER_DAY - 1),
        )


@dataclass(frozen=True, slots=True)
class _Wave:
    amplitude: float
    frequency: float  # radians per second
    phase: float

    def at(self, moment: float) -> float:
        return self.amplitude * math.sin(self.frequency * moment + self.phase)

    def integral(self, moment: float) -> float:
        return -self.amplitude / self.frequency * math.cos(self.frequency * moment + self.phase)


@lru_cache(maxsize=4096)
def _waves(seed: int, machine: Machine) -> tuple[_Wave, ...]:
    """The variation of the latency around its typical value: by time of day, and noise."""
    period, share = _DIURNAL
    diurnal = _Wave(share, math.tau / period, math.tau * (0.25 - machine.busiest_hour / 24))
    noise = (
        _Wave(share, math.tau / period, math.tau * draw(seed, "wave", machine.ip, period))
        for period, share in _NOISE
    )
    return (diurnal, *noise)


class _DaySummary(NamedTuple):
    """What is known about a machine's day, the same for all buckets."""

    status: str
    seconds_up: float
    latency_average: float | None  # relative to the typical latency
    latency_last: float | None


@lru_cache(maxsize=4096)
def _summary(
    seed: int, machine: Machine, day_number: int, events: tuple[HourlyEvent, ...], checked: float
) -> _DaySummary:
    """Summarise the day until the second `checked`."""
    past = stretches_until(day_stretches(seed, machine, day_number, events), checked)
    up = [stretch for stretch in past if stretch.status == ONLINE]
    if not up:
        return _DaySummary(past[-1].status, 0.0, None, None)
    waves = _waves(seed, machine)
    midnight = day_number * SECONDS_PER_DAY
    seconds_up = math.fsum(stretch.length for stretch in up)
    area = math.fsum(_area(waves, midnight, stretch) for stretch in up)
    newest = up[-1].slowness * (1 + sum(wave.at(midnight + up[-1].end) for wave in waves))
    return _DaySummary(past[-1].status, seconds_up, area / seconds_up, newest)


def _area(waves: tuple[_Wave, ...], midnight: int, stretch: Stretch) -> float:
    """The integral of the relative latency over a stretch."""
    start, end = midnight + stretch.start, midnight + stretch.end
    swing = sum(wave.integral(end) - wave.integral(start) for wave in waves)
    return stretch.slowness * (stretch.length + swing)


def _times(typical: float, relative: float | None) -> float | None:
    return None if relative is None else round(typical * relative, 1)


def _version(seed: int, machine: Machine, day_number: int) -> str:
    """The version: a release every two weeks, rolled out to the machines over three days."""
    release = int(day_number - 3 * draw(seed, "version", machine.ip)) // 14
    return f"1.{release // 10}.{release % 10}"
