"""The rules for bucket state and time."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import BucketState, Instant, Reason, Timing
from tests.harness.fakes import MIDNIGHT, NOON, after, failure, node, reading

TIMING = Timing()
START = Instant(NOON, 1000.0)
LATE = Instant(MIDNIGHT - 30, 5000.0)
"""Half a minute before midnight."""


def test_day_is_the_utc_day() -> None:
    """The day of an instant is its UTC date."""
    assert Instant(MIDNIGHT - 0.001, 0).day == date(2024, 1, 15)
    assert Instant(MIDNIGHT, 0).day == date(2024, 1, 16)


def test_good_poll_replaces_what_is_held() -> None:
    """A good poll replaces all nodes of the one before."""
    state = BucketState(START).after(reading(START, node("a"), node("b")), TIMING)
    state = state.after(reading(after(START, 60), node("b")), TIMING)
    assert state.stats is not None
    assert [held.host for held in state.stats.nodes] == ["b"]
    assert state.last_success == after(START, 60)


def test_failure_keeps_what_is_held_and_its_age() -> None:
    """A failed poll keeps the data and its age."""
    good = BucketState(START).after(reading(START, node()), TIMING)
    failed = good.after(failure(after(START, 60)), TIMING)
    assert failed.stats == good.stats
    assert failed.fresh_until(TIMING) == good.fresh_until(TIMING) == 1000 + TIMING.stale_after
    assert failed.failing(fresh=True) is Reason.TIMEOUT


def test_recovery_clears_the_failure() -> None:
    """A good poll after a failed one clears the failure."""
    state = BucketState(START).after(failure(START), TIMING)
    state = state.after(reading(after(START, 60)), TIMING)
    assert state.failing(fresh=True) is None


def test_stale_without_failure_is_overdue() -> None:
    """A bucket without a poll within stale_after is overdue, even if it was never polled."""
    assert BucketState(START).failing(fresh=False) is Reason.OVERDUE
    polled = BucketState(START).after(reading(START), TIMING)
    assert polled.failing(fresh=False) is Reason.OVERDUE


def test_age_does_not_follow_the_wall_clock() -> None:
    """Freshness uses the monotonic clock, so setting the wall clock does not extend it."""
    state = BucketState(START).after(reading(Instant(NOON - 86400, 1000.0)), TIMING)
    assert state.fresh_until(TIMING) == 1000 + TIMING.stale_after


@pytest.mark.parametrize("answer", [(), (node("a"),)], ids=["empty", "half-filled"])
def test_yesterday_is_kept_while_the_new_day_is_filling(answer: tuple[()]) -> None:
    """Shortly after midnight, a response with fewer nodes keeps yesterday's data fresh."""
    state = BucketState(LATE).after(reading(LATE, node("a"), node("b")), TIMING)
    state = state.after(reading(after(LATE, 60), *answer), TIMING)
    assert state.stats is not None
    assert state.stats.day == date(2024, 1, 15)
    assert len(state.stats.nodes) == 2
    assert state.last_success == after(LATE, 60)
    assert state.failing(fresh=True) is None


def test_full_new_day_wins_at_once() -> None:
    """Shortly after midnight, a response with all known nodes replaces yesterday's data."""
    state = BucketState(LATE).after(reading(LATE, node("a")), TIMING)
    state = state.after(reading(after(LATE, 60), node("a"), node("new")), TIMING)
    assert state.stats is not None
    assert state.stats.day == date(2024, 1, 16)


def test_newest_answer_wins_once_the_grace_is_over() -> None:
    """After the grace period an empty response replaces yesterday's data."""
    state = BucketState(LATE).after(reading(LATE, node("a")), TIMING)
    for seconds in range(60, 600, 60):
        state = state.after(reading(after(LATE, seconds)), TIMING)
        assert state.stats is not None
        assert state.stats.nodes
    state = state.after(reading(after(LATE, 30 + TIMING.rollover_grace)), TIMING)
    assert state.stats is not None
    assert state.stats.nodes == ()


def test_stale_reading_of_yesterday_is_not_revived() -> None:
    """Stale data of yesterday is not kept when the new day is empty."""
    early = Instant(MIDNIGHT - TIMING.stale_after, 5000.0)
    state = BucketState(early).after(reading(early, node("a")), TIMING)
    state = state.after(reading(after(early, TIMING.stale_after + 1)), TIMING)
    assert state.stats is not None
    assert state.stats.nodes == ()


def test_older_days_are_not_kept() -> None:
    """Only yesterday's data is kept for an empty new day, not older data from a wrong clock."""
    week_ago = Instant(LATE.wall - 7 * 86400, LATE.monotonic)
    state = BucketState(week_ago).after(reading(week_ago, node("a")), TIMING)
    state = state.after(reading(after(LATE, 60)), TIMING)
    assert state.stats is not None
    assert state.stats.nodes == ()


def test_poll_that_straddles_midnight_belongs_to_the_day_it_asked_for() -> None:
    """A response for yesterday that arrives after midnight replaces yesterday's data."""
    state = BucketState(LATE).after(reading(LATE, node("a"), node("b")), TIMING)
    straddling = reading(LATE, node("a"))
    arrived = type(straddling)(straddling.stats, after(LATE, 31), 31.0)
    state = state.after(arrived, TIMING)
    assert state.stats is not None
    assert [held.host for held in state.stats.nodes] == ["a"]
    assert state.stats.day == date(2024, 1, 15)


@given(st.floats(0, 4e9), st.floats(0, 43000))
def test_midnight_is_near_on_both_its_sides(wall: float, grace: float) -> None:
    """A moment is near midnight if the closest midnight is within the grace period."""
    timing = TIMING._replace(rollover_grace=grace)
    since = wall % 86400
    near = since < grace or 86400 - since <= grace
    assert timing.is_near_midnight(wall) == near
    assert timing.in_grace_after_midnight(wall) == (since < grace)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_day_rule_over_arbitrary_clocks(moment: datetime) -> None:
    """For any clock reading, the requested day is the UTC date."""
    aware = moment.replace(tzinfo=UTC)
    assert Instant(aware.timestamp(), 0.0).day == aware.date()
