"""The times at which a past day's figures are exported."""

from __future__ import annotations

import math
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as some

from exporter.backfill.day import STEP, available_from, days, sample_times
from exporter.model import Timing, midnight

DAY = date(2024, 1, 15)
LAST = midnight(DAY + timedelta(days=2)) + 600
dates = some.dates(date(1971, 1, 1), date(2100, 1, 1))
timings = some.floats(0, 7200).map(lambda grace: Timing(rollover_grace=grace))
ids = some.text(min_size=1, max_size=30)


@settings(deadline=None)  # the machine may be busy
@given(dates, ids, timings)
def test_samples_lie_where_live_polling_shows_the_day(
    day: date, bucket: str, timing: Timing
) -> None:
    """Samples cover the time in which live polling exports the day, evenly, within a step."""
    begin, end = timing.previous_day_exposed_between(day, bucket)
    times = sample_times(day, bucket, timing, -math.inf, math.inf)
    assert begin <= times[0] < begin + STEP
    assert end - STEP <= times[-1] < end
    assert times.step == STEP
    assert all(time % STEP == 0 for time in times)


@settings(deadline=None)  # the machine may be busy
@given(dates, ids, timings)
def test_days_do_not_touch(day: date, bucket: str, timing: Timing) -> None:
    """The samples of a day end before those of the next day begin."""
    first, second = (
        sample_times(each, bucket, timing, -math.inf, math.inf)
        for each in (day, day + timedelta(days=1))
    )
    assert first[-1] < second[0]


@settings(deadline=None)  # the machine may be busy
@given(dates, ids, timings, some.floats(-1000, 100_000))
def test_two_parts_are_the_whole(day: date, bucket: str, timing: Timing, after: float) -> None:
    """If a backfill covers part of a day, the next one adds the rest, without gap or duplicate."""
    moment = midnight(day) + 86400 + after
    parts = [
        *sample_times(day, bucket, timing, -math.inf, moment),
        *sample_times(day, bucket, timing, moment, math.inf),
    ]
    assert parts == list(sample_times(day, bucket, timing, -math.inf, math.inf))


@settings(deadline=None)  # the machine may be busy
@given(dates, ids, timings)
def test_whoever_may_be_asked_has_a_sample(day: date, bucket: str, timing: Timing) -> None:
    """Once a day can be requested, every bucket has at least one sample for it."""
    moment = available_from(day, timing.rollover_grace)
    assert len(sample_times(day, bucket, timing, -math.inf, moment)) > 0


def test_day_can_be_had_a_while_after_its_end() -> None:
    """A day can be requested after the grace period, the hour of live requests, and one step."""
    assert available_from(DAY, 600) == midnight(DAY) + 86400 + 600 + 3600 + 240


def test_day_is_shown_until_the_next_grace_ends() -> None:
    """A day is exported until the next day's grace period ends."""
    assert Timing().previous_day_exposed_until(DAY) == LAST


def test_days_are_both_ends_and_all_between() -> None:
    """A range of days includes both ends, also across a month's end."""
    assert list(days(date(2024, 2, 28), date(2024, 3, 1))) == [
        date(2024, 2, 28),
        date(2024, 2, 29),
        date(2024, 3, 1),
    ]
