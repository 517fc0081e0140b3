"""When a past day's figures were shown: the times of its samples, and from when it can be had.

Pure. The grid is Unix time's own, so that whichever run writes a sample puts it at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, timedelta

from exporter.model import PREVIOUS_DAY_SPREAD, SECONDS_PER_DAY, Timing, midnight

STEP = 240
"""Seconds between two samples: Prometheus looks back five minutes for one."""


def days(first: date, last: date) -> Iterator[date]:
    """Each day from the first to the last."""
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def first_moment_to_ask(day: date, grace: float) -> float:
    """From when a day can be had, Unix time: closed for so long that every bucket shows it."""
    return midnight(day) + SECONDS_PER_DAY + grace + PREVIOUS_DAY_SPREAD + STEP


def shown_until(day: date, timing: Timing) -> float:
    """Until before when a day's figures are shown, of whichever bucket; Unix time."""
    return timing.previous_day_shown_between(day, "")[1]


def sample_times(day: date, bucket_id: str, timing: Timing, since: float, until: float) -> range:
    """When a bucket showed a day's figures, from `since` and until before `until`; Unix time."""
    begin, end = timing.previous_day_shown_between(day, bucket_id)
    first = math.ceil(max(begin, since) / STEP) * STEP
    return range(first, math.ceil(min(end, until)), STEP)
