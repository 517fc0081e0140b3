"""Estimates of a configuration's load, and whether its limits allow that load.

Based on measurements (docs/performance.md). Only configured buckets count, since the number of
discovered buckets is not known. Nothing here changes what the exporter does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from exporter.config.problems import Problem
from exporter.config.settings import Account, Config
from exporter.config.values import duration_text
from exporter.model import PREVIOUS_DAY_SPREAD

NODES_PER_BUCKET = 6
"""The public nodes that are known, without private ones."""

BASE_MEMORY = 60 * 2**20
"""Bytes of a process that polls nothing."""

MEMORY_PER_SERIES = 260
"""Bytes per series: its text, its values, and a share of its bucket.

Measured, like the next two: `python -m benchmarks service` with 10,000 buckets of 72 series each.
"""

CPU_PER_REQUEST = 0.0009
"""CPU seconds per stats request on a machine like the measured one; includes scrapes."""

BASE_CPU = 0.01
"""The share of a core of a process that polls nothing and is scraped."""

HEADROOM = 2.0
"""Recommended capacity, relative to the load.

All buckets are due at once in the first round, which then takes half an interval and ends before
any bucket is due again. With less, polls after a start are late by up to (1 / headroom - 1 / 2)
intervals.
"""

MIN_HEADROOM = 1.1
"""With less, polls that fall behind, as after a start, take over five intervals to catch up."""

MIN_RESPONSE_TIME = 0.5
"""Average seconds per response that the limits must allow for."""


@dataclass(frozen=True, slots=True)
class LoadEstimate:
    """The expected load of a configuration."""

    buckets: int
    requests_per_second: float
    previous_days_per_second: float  # in addition, for an hour each day
    response_time: float  # average seconds per response above which polls fall behind
    series: int
    memory: int  # bytes
    cpu: float  # share of a core, without TLS, while previous days are requested


def load_estimate(config: Config) -> LoadEstimate:
    """The load of a process with this configuration, for its configured buckets."""
    buckets = len(config.buckets())
    rate = sum(map(_rate, config.accounts))
    per_node = 7 + len(config.known_statuses) + 1
    series = buckets * (NODES_PER_BUCKET * per_node + 6)
    previous_days = buckets / PREVIOUS_DAY_SPREAD
    return LoadEstimate(
        buckets=buckets,
        requests_per_second=rate,
        previous_days_per_second=previous_days,
        response_time=config.limits.max_concurrent_requests / rate if rate else math.inf,
        series=series,
        memory=BASE_MEMORY + series * MEMORY_PER_SERIES,
        cpu=BASE_CPU + (rate + previous_days) * CPU_PER_REQUEST,
    )


def shortages(config: Config, file: str) -> tuple[Problem, ...]:
    """The limits that are too low for the load, so that polls are always late."""
    found: list[Problem] = []
    estimate = load_estimate(config)
    allowed = config.limits.max_requests_per_second
    least = estimate.requests_per_second * MIN_HEADROOM + estimate.previous_days_per_second
    if least > allowed:
        advised = max(estimate.requests_per_second * HEADROOM, least)
        stretch = advised / allowed
        shortest = min(account.timing.poll_interval for account in config.accounts)
        found.append(
            _shortage(
                file,
                "max_requests_per_second",
                f"too low: {estimate.buckets} buckets need"
                f" {estimate.requests_per_second:.1f} requests per second and {allowed:g} are"
                f" allowed: raise it to {math.ceil(advised)}, or poll_interval from"
                f" {duration_text(shortest)} to {duration_text(math.ceil(shortest * stretch))}",
            )
        )
    if estimate.response_time < MIN_RESPONSE_TIME:
        needed = math.ceil(estimate.requests_per_second * MIN_RESPONSE_TIME)
        found.append(
            _shortage(
                file,
                "max_concurrent_requests",
                "too low: polls fall behind if responses take more than"
                f" {estimate.response_time:.2f}s on average: raise it to {needed} or more",
            )
        )
    elif (needed := _slots_in_trouble(config)) > config.limits.max_concurrent_requests:
        found.append(
            _shortage(
                file,
                "max_concurrent_requests",
                "too low: an account falls behind while the APIs of all others hang:"
                f" raise it to {needed} or more",
            )
        )
    return tuple(found)


def _slots_in_trouble(config: Config) -> int:
    """The total slots with which each account keeps up while the APIs of all others hang.

    A poll that hangs occupies a slot for poll_timeout, but an account gets no further slot while
    a waiting account has fewer.
    """
    needed = 0.0
    accounts = [each for each in config.accounts if each.buckets or each.discovery is not None]
    for account in accounts:
        wanted = max(1, math.ceil(_rate(account) * MIN_RESPONSE_TIME))
        others = (min(_hung(each), wanted) for each in accounts if each is not account)
        needed = max(needed, wanted + sum(others))
    return math.ceil(needed)


def _hung(account: Account) -> float:
    """The slots that an account occupies on average if its API never responds."""
    if account.discovery is not None:
        return math.inf  # the number of buckets is unknown
    return _rate(account) * account.timing.poll_timeout


def _rate(account: Account) -> float:
    return len(account.buckets) / account.timing.poll_interval


def _shortage(file: str, key: str, message: str) -> Problem:
    return Problem(file, None, f"global.{key}", message)
