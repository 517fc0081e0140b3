"""The truth: what each node of a bucket is like at a moment, as the API would know it.

Pure and deterministic in (seed, bucket, day, now). Averages are exact: latency is a sum of sine
waves, whose integral over a stretch of time is known, so nothing is stepped through. Trouble
with answers does not live here, nor does HTTP.
"""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from exporter.simulator.machines import PUBLIC_MACHINES, Machine
from exporter.simulator.time_and_chance import draw
from exporter.simulator.timeline import (
    ONLINE,
    SECONDS_PER_DAY,
    HourlyEvent,
    Stretch,
    day_stretches,
    stretches_until,
)

Row: TypeAlias = dict[str, object]
"""An entry of `nodeStats` as it is written into the JSON body."""

_EPOCH = date(1970, 1, 1).toordinal()
_CHECK_EVERY = 45.0  # seconds between two checks of a node
_CHECK_TAKES = 3.0  # seconds until a check's result can be asked for
_DIURNAL = (float(SECONDS_PER_DAY), 0.25)
_NOISE = ((7919.0, 0.06), (1217.0, 0.05), (241.0, 0.05), (67.0, 0.04))
"""Waves as (period in seconds, share of the typical latency); together they stay below 1."""


class Denominator(Enum):
    """What the running day's `perc_uptime` is a share of: the vendor does not say."""

    ELAPSED = "elapsed"
    WHOLE_DAY = "whole day"


@dataclass(frozen=True, slots=True)
class NodeDay:
    """One node's figures for one day, before anything troubles them."""

    ip: str
    host: str
    version: str
    status: str
    uptime_percent: float
    latency_average: float | None  # milliseconds; None: never up on that day
    latency_last: float | None  # milliseconds, measured when the node was last up on that day
    last_updated: float  # Unix time

    def row(self) -> Row:
        """The entry of `nodeStats`, in the order of the vendor's page."""
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
    """All there is to know of the nodes. Two equal worlds give equal answers, always."""

    seed: int
    machines: tuple[Machine, ...] = PUBLIC_MACHINES
    events: tuple[HourlyEvent, ...] = ()
    denominator: Denominator = Denominator.ELAPSED

    def stats(self, bucket: str, day: date, now: float) -> tuple[NodeDay, ...]:
        """The bucket's nodes on a UTC day as known at `now` (Unix time).

        A closed day gives its final figures, whenever it is asked for. A node appears with its
        first check of the day, within a minute of 00:00: a day to come has no nodes.
        """
        elapsed = min(now - day_to_unix(day), SECONDS_PER_DAY)
        checks = ((machine, self._checked(machine, elapsed)) for machine in self.machines)
        return tuple(
            self._node_day(bucket, machine, day, checked)
            for machine, checked in checks
            if checked > 0
        )

    def _checked(self, machine: Machine, elapsed: float) -> float:
        """The second of the day up to which a machine is known; a day's end closes its books."""
        if elapsed == SECONDS_PER_DAY:
            return elapsed
        phase = draw(self.seed, "check", machine.ip) * _CHECK_EVERY
        return (elapsed - _CHECK_TAKES - phase) // _CHECK_EVERY * _CHECK_EVERY + phase

    def _node_day(self, bucket: str, machine: Machine, day: date, checked: float) -> NodeDay:
        number = day.toordinal() - _EPOCH
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


def day_to_unix(day: date) -> int:
    """00:00 UTC of a day as Unix time."""
    return (day.toordinal() - _EPOCH) * SECONDS_PER_DAY


def unix_to_day(now: float) -> date:
    """The UTC day of a moment."""
    return date.fromordinal(_EPOCH + int(now // SECONDS_PER_DAY))


def unix_to_text(moment: float) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")


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
    """How a machine's latency moves around its typical value: with the day, and restlessly."""
    period, share = _DIURNAL
    diurnal = _Wave(share, math.tau / period, math.tau * (0.25 - machine.busiest_hour / 24))
    noise = (
        _Wave(share, math.tau / period, math.tau * draw(seed, "wave", machine.ip, period))
        for period, share in _NOISE
    )
    return (diurnal, *noise)


class _Summary(NamedTuple):
    """What is known of a machine's day, the same for every bucket."""

    status: str
    seconds_up: float
    latency_average: float | None  # relative to the typical latency
    latency_last: float | None


@lru_cache(maxsize=4096)
def _summary(
    seed: int, machine: Machine, day_number: int, events: tuple[HourlyEvent, ...], checked: float
) -> _Summary:
    """The day until the second `checked`."""
    past = stretches_until(day_stretches(seed, machine, day_number, events), checked)
    up = [stretch for stretch in past if stretch.status == ONLINE]
    if not up:
        return _Summary(past[-1].status, 0.0, None, None)
    waves = _waves(seed, machine)
    midnight = day_number * SECONDS_PER_DAY
    seconds_up = math.fsum(stretch.length for stretch in up)
    area = math.fsum(_area(waves, midnight, stretch) for stretch in up)
    newest = up[-1].slowness * (1 + sum(wave.at(midnight + up[-1].end) for wave in waves))
    return _Summary(past[-1].status, seconds_up, area / seconds_up, newest)


def _area(waves: tuple[_Wave, ...], midnight: int, stretch: Stretch) -> float:
    """The relative latency, integrated over a stretch."""
    start, end = midnight + stretch.start, midnight + stretch.end
    swing = sum(wave.integral(end) - wave.integral(start) for wave in waves)
    return stretch.slowness * (stretch.length + swing)


def _times(typical: float, relative: float | None) -> float | None:
    return None if relative is None else round(typical * relative, 1)


def _version(seed: int, machine: Machine, day_number: int) -> str:
    """A release every fortnight, that reaches the machines over three days."""
    release = int(day_number - 3 * draw(seed, "version", machine.ip)) // 14
    return f"1.{release // 10}.{release % 10}"
