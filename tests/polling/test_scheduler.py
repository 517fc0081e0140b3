"""When each bucket is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Bucket, Instant, PollResult, Reason, Timing
from exporter.polling.targets import Target
from tests.harness.fakes import MIDNIGHT, NOON, after, bucket, failure, reading
from tests.polling.scheduled import ScheduledTargets

TIMING = Timing(poll_interval=60.0)
START = Instant(NOON, 1000.0)


def make_schedule(*ids: str, timing: Timing = TIMING, start: Instant = START) -> ScheduledTargets:
    """A schedule with these buckets, all due at once."""
    scheduler = ScheduledTargets(start)
    scheduler.poll([(bucket(bucket_id), timing) for bucket_id in ids], start.monotonic)
    return scheduler


def take(scheduler: ScheduledTargets, now: Instant) -> Target:
    """Take the next due bucket."""
    scheduled = scheduler.pop_due(now.monotonic)
    assert scheduled is not None
    return scheduled


def next_after(scheduler: ScheduledTargets, now: Instant, result: PollResult) -> Instant:
    """Complete a due poll with this result, and return when the bucket is due next."""
    scheduler.complete(take(scheduler, now), result, now)
    due = scheduler.next_due()
    assert due is not None
    return after(now, due - now.monotonic)


def test_first_round_is_due_at_once_in_order() -> None:
    """At startup all buckets are due at once, in the order of the configuration."""
    scheduler = make_schedule("b", "a", "c")
    assert [take(scheduler, START).bucket.id for _ in range(3)] == ["b", "a", "c"]
    assert scheduler.pop_due(START.monotonic) is None


def test_offsets_are_stable_over_restarts() -> None:
    """A bucket is polled at the same offset in the interval in every process, after any restart."""
    times = []
    for start in (START, Instant(NOON + 17, 5.0)):
        scheduler = make_schedule("b1", start=start)
        due = next_after(scheduler, start, reading(start))
        times.append(due.wall % 60)
    assert times[0] == pytest.approx(times[1], abs=1e-3)


def test_offsets_are_spread_over_the_interval() -> None:
    """The polls of many buckets are spread evenly over the interval."""
    ids = [f"bucket-{number}" for number in range(1000)]
    scheduler = make_schedule(*ids)
    tenths = [0] * 10
    for scheduled in scheduler.targets:
        tenths[int(scheduled.offset / 6)] += 1
    assert min(tenths) > 70


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.SERVER_ERROR, Reason.MALFORMED, None])
def test_due_once_per_interval(reason: Reason | None) -> None:
    """After a success or a temporary failure, the next poll is one interval later."""
    scheduler = make_schedule("b1")
    now = next_after(scheduler, START, reading(START))
    assert 30 <= now.monotonic - START.monotonic <= 90
    for _ in range(5):
        result = reading(now) if reason is None else failure(now, reason)
        following = next_after(scheduler, now, result)
        assert following.monotonic - now.monotonic == pytest.approx(60)
        now = following


def test_missed_slots_are_skipped() -> None:
    """A poll that was three intervals late is followed by one poll, not by three."""
    scheduler = make_schedule("b1")
    now = next_after(scheduler, START, reading(START))
    late = after(now, 200)
    following = next_after(scheduler, late, reading(late))
    assert following.monotonic - now.monotonic == pytest.approx(240)


@pytest.mark.parametrize(
    "reason", [Reason.BAD_REQUEST, Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.NOT_FOUND]
)
def test_refusals_are_rechecked_ever_more_rarely(reason: Reason) -> None:
    """After a refusal the wait starts at one interval and doubles up to recheck_interval."""
    scheduler = make_schedule("b1")
    now, waits = START, []
    for _ in range(6):
        following = next_after(scheduler, now, failure(now, reason))
        waits.append(following.monotonic - now.monotonic)
        now = following
    assert waits == pytest.approx([60, 120, 240, 300, 300, 300])
    now = next_after(scheduler, now, reading(now))
    following = next_after(scheduler, now, failure(now, reason))
    assert following.monotonic - now.monotonic == pytest.approx(60)


def test_recheck_is_never_more_often_than_a_poll() -> None:
    """If poll_interval is longer than recheck_interval, re-checks keep to poll_interval."""
    scheduler = make_schedule("b1", timing=Timing(poll_interval=600, recheck_interval=300))
    now = START
    for _ in range(3):
        following = next_after(scheduler, now, failure(now, Reason.NOT_FOUND))
        assert following.monotonic - now.monotonic == pytest.approx(600)
        now = following


@pytest.mark.parametrize("wall", [MIDNIGHT - 300, MIDNIGHT + 300])
def test_bad_request_near_midnight_is_retried_at_the_normal_interval(wall: float) -> None:
    """Around midnight, where clocks may disagree on the date, a 400 does not lengthen the wait."""
    now = Instant(wall, 1000.0)
    scheduler = make_schedule("b1", start=now)
    now = next_after(scheduler, now, failure(now, Reason.BAD_REQUEST))
    for _ in range(3):
        following = next_after(scheduler, now, failure(now, Reason.BAD_REQUEST))
        assert following.monotonic - now.monotonic == pytest.approx(60)
        now = following


def test_other_refusals_near_midnight_are_still_refusals() -> None:
    """Around midnight, a 404 lengthens the wait as at any other time."""
    now = Instant(MIDNIGHT + 60, 1000.0)
    scheduler = make_schedule("b1", start=now)
    now = next_after(scheduler, now, failure(now, Reason.NOT_FOUND))
    following = next_after(scheduler, now, failure(now, Reason.NOT_FOUND))
    assert following.monotonic - now.monotonic == pytest.approx(120)


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 30), (0, 1), (7, 7), (86400, 300)])
def test_429_pauses_its_account_and_no_other(retry_after: float | None, seconds: float) -> None:
    """A 429 pauses its account for Retry-After, within limits; other accounts are polled."""
    scheduler = ScheduledTargets(START)
    names = (("a1", "a"), ("a2", "a"), ("b1", "b"))
    scheduler.poll([(bucket(*name), TIMING) for name in names], START.monotonic)
    scheduled = take(scheduler, START)
    scheduler.complete(scheduled, failure(START, Reason.RATE_LIMITED, retry_after), START)
    assert scheduler.paused(START.monotonic) == {"a": START.monotonic + seconds}
    assert take(scheduler, START).bucket.id == "b1"
    assert scheduler.pop_due(START.monotonic + seconds - 0.001) is None
    assert scheduler.paused(START.monotonic + seconds) == {}
    polled = set()
    for second in range(int(seconds), int(seconds) + 62):
        due = scheduler.pop_due(START.monotonic + second)
        if due is not None:
            polled.add(due.bucket.id)
    assert polled == {"a1", "a2"}


def test_longer_pause_is_not_cut_short() -> None:
    """A running poll that gets a 429 with a shorter Retry-After does not shorten the pause."""
    scheduler = make_schedule("b1", "b2")
    first, second = take(scheduler, START), take(scheduler, START)
    scheduler.complete(first, failure(START, Reason.RATE_LIMITED, 100), START)
    scheduler.complete(second, failure(START, Reason.RATE_LIMITED, 5), START)
    assert scheduler.paused(START.monotonic) == {"main": START.monotonic + 100}


def test_lag_is_that_of_the_most_overdue() -> None:
    """Lag is how long the most overdue bucket waits, and 0 if none is due."""
    scheduler = make_schedule("b1", "b2")
    assert scheduler.lag(START.monotonic + 7) == 7
    for _ in range(2):
        scheduler.complete(take(scheduler, START), reading(START), START)
    assert scheduler.lag(START.monotonic) == 0
    assert ScheduledTargets(START).lag(START.monotonic) == 0
    assert ScheduledTargets(START).next_due() is None


def test_pause_and_recheck_are_not_lag() -> None:
    """A bucket that waits for a pause or a re-check adds no lag."""
    scheduler = make_schedule("b1", "b2")
    scheduler.complete(take(scheduler, START), failure(START, Reason.RATE_LIMITED, 100), START)
    assert scheduler.lag(START.monotonic + 50) == 0
    refused = make_schedule("b1")
    refused.complete(take(refused, START), failure(START, Reason.NOT_FOUND), START)
    assert refused.lag(START.monotonic + 59) == 0


REASONS = st.none() | st.sampled_from([r for r in Reason if r is not Reason.OVERDUE])


@given(
    st.lists(
        st.tuples(st.text(min_size=1), REASONS), min_size=1, max_size=8, unique_by=lambda x: x[0]
    ),
    st.floats(5, 3600),
    st.floats(0.01, 20),
    st.lists(st.floats(0, 30), min_size=20, max_size=60),
)
def test_every_bucket_is_polled_and_none_twice_at_once(
    buckets: list[tuple[str, Reason | None]],
    interval: float,
    step: float,
    durations: list[float],
) -> None:
    """Whatever its duration and result, every bucket is polled again, and never twice at once."""
    timing = Timing(poll_interval=interval, recheck_interval=2 * interval)
    scheduler = make_schedule(*(name for name, _ in buckets), timing=timing)
    reasons = dict(buckets)
    now = START
    running: list[tuple[float, Target]] = []
    for duration in durations:
        scheduled = scheduler.pop_due(now.monotonic)
        if scheduled is not None:
            assert scheduled.bucket.id not in {other.bucket.id for _, other in running}
            running.append((now.monotonic + duration, scheduled))
        now = after(now, step)
        for ended in [each for each in running if each[0] <= now.monotonic]:
            running.remove(ended)
            reason = reasons[ended[1].bucket.id]
            result = reading(now) if reason is None else failure(now, reason)
            scheduler.complete(ended[1], result, now)
            assert ended[1].due > now.monotonic
    longest = 300 + 4 * interval
    for end, scheduled in running:
        scheduler.complete(
            scheduled, reading(after(now, 31)), after(now, max(31, end - now.monotonic))
        )
    due_again = set()
    later = after(now, 31 + longest).monotonic
    while (found := scheduler.pop_due(later)) is not None:
        due_again.add(found.bucket.id)
    assert due_again == set(reasons)


def test_holding_others_keeps_what_stays() -> None:
    """When the buckets change, new ones are due at once and kept ones keep their schedule."""
    scheduler = make_schedule("stays", "goes")
    for _ in range(2):
        scheduler.complete(take(scheduler, START), reading(START), START)
    due = {scheduled.bucket.id: scheduled.due for scheduled in scheduler.targets}
    renamed = Bucket("main", "stays", "another name")
    scheduler.poll([(renamed, TIMING), (bucket("new"), TIMING)], START.monotonic + 1)
    assert {scheduled.bucket.id: scheduled.due for scheduled in scheduler.targets} == {
        "stays": due["stays"],
        "new": START.monotonic + 1,
    }
    assert take(scheduler, after(START, 1)).bucket.id == "new"
    assert take(scheduler, after(START, 100)).bucket == renamed
    assert scheduler.pop_due(START.monotonic + 1000) is None


def test_shorter_interval_counts_at_once() -> None:
    """A shortened interval takes effect at once; the bucket does not wait out the old one."""
    scheduler = make_schedule("b1", timing=Timing(poll_interval=3600))
    scheduler.complete(take(scheduler, START), reading(START), START)
    scheduler.poll([(bucket("b1"), TIMING)], START.monotonic + 5)
    (scheduled,) = scheduler.targets
    assert scheduled.due <= START.monotonic + 65


def test_poll_of_a_bucket_that_went_meanwhile_counts_for_nothing() -> None:
    """The result of a poll that ends after its bucket was removed is discarded."""
    scheduler = make_schedule("b1")
    scheduled = take(scheduler, START)
    scheduler.poll([], START.monotonic)
    assert not scheduler.complete(scheduled, reading(START), START)
    scheduler.poll([(bucket("b1"), TIMING)], START.monotonic)
    assert not scheduler.complete(scheduled, reading(START), START)
    assert take(scheduler, START) is not scheduled
    assert scheduler.pop_due(START.monotonic + 1000) is None


def test_running_polls_are_not_queued_twice() -> None:
    """Setting the same buckets during a poll does not queue the polled bucket a second time."""
    scheduler = make_schedule("b1", "b2")
    running = take(scheduler, START)
    scheduler.poll([(bucket("b1"), TIMING), (bucket("b2"), TIMING)], START.monotonic)
    assert take(scheduler, START).bucket.id == "b2"
    assert scheduler.pop_due(START.monotonic) is None
    assert scheduler.complete(running, reading(START), START)


def test_abandoned_polls_are_due_at_once() -> None:
    """Polls that a reload cut off are due again, and their late results are discarded."""
    scheduler = make_schedule("b1", "b2")
    cut_off = take(scheduler, START)
    scheduler.requeue_running(START.monotonic + 3)
    assert not scheduler.complete(cut_off, reading(START), START)
    polled = {take(scheduler, after(START, 3)).bucket.id for _ in range(2)}
    assert polled == {"b1", "b2"}
    assert scheduler.pop_due(START.monotonic + 3) is None


def test_forgotten_account_starts_without_its_pause() -> None:
    """Dropping an account drops its 429 pause."""
    scheduler = ScheduledTargets(START)
    scheduler.apply_pause("main", failure(START, Reason.RATE_LIMITED, 300).error, START.monotonic)
    assert scheduler.paused(START.monotonic) != {}
    scheduler.drop_account("main")
    assert scheduler.paused(START.monotonic) == {}


def test_forgotten_account_starts_anew() -> None:
    """If a dropped account is added again, its buckets are due at once."""
    scheduler = make_schedule("b1")
    scheduler.complete(take(scheduler, START), reading(START), START)
    scheduler.drop_account("main")
    scheduler.poll([(bucket("b1"), TIMING)], START.monotonic + 1)
    assert take(scheduler, after(START, 1)).bucket.id == "b1"


def test_refusals_are_retried_at_once_with_another_token() -> None:
    """A new token makes the account's refused buckets due at once, and no others."""
    scheduler = ScheduledTargets(START)
    names = (("refused", "a"), ("well", "a"), ("refused-elsewhere", "b"))
    scheduler.poll([(bucket(*name), TIMING) for name in names], START.monotonic)
    for _ in names:
        scheduled = take(scheduler, START)
        is_well = scheduled.bucket.id == "well"
        result = reading(START) if is_well else failure(START, Reason.UNAUTHORIZED)
        scheduler.complete(scheduled, result, START)
    scheduler.retry_now("a", START.monotonic + 2)
    assert take(scheduler, after(START, 2)).bucket.id == "refused"
    assert scheduler.pop_due(START.monotonic + 2) is None


def test_accounts_are_told_apart() -> None:
    """Each account with due buckets reports since when, and can be polled separately."""
    scheduler = ScheduledTargets(START)
    names = (("a1", "a"), ("a2", "a"), ("b1", "b"))
    scheduler.poll([(bucket(*name), TIMING) for name in names], START.monotonic)
    later = START.monotonic + 1
    assert scheduler.due_accounts(later) == {"a": START.monotonic, "b": START.monotonic}
    scheduled = scheduler.pop_due(later, "b")
    assert scheduled is not None
    assert scheduled.bucket.id == "b1"
    assert scheduler.pop_due(later, "b") is None
    assert scheduler.due_accounts(later) == {"a": START.monotonic}
    scheduler.complete(scheduled, failure(START, Reason.RATE_LIMITED), START)
    assert scheduler.due_accounts(later) == {"a": START.monotonic}


def test_pause_also_puts_off_what_was_seen_to_be_due() -> None:
    """A pause also delays buckets of the account that were already due."""
    scheduler = make_schedule("b1", "b2")
    scheduled = take(scheduler, START)
    assert scheduler.due_accounts(START.monotonic)
    scheduler.complete(scheduled, failure(START, Reason.RATE_LIMITED, 50), START)
    assert scheduler.due_accounts(START.monotonic + 49) == {}
    assert len(list(scheduler.targets)) == 2
    ids = {take(scheduler, after(START, 50 + 120)).bucket.id for _ in range(2)}
    assert ids == {"b1", "b2"}


def test_forgotten_account_is_not_paused() -> None:
    """An account that was dropped and added again is polled without the old pause."""
    scheduler = make_schedule("b1")
    scheduler.complete(take(scheduler, START), failure(START, Reason.RATE_LIMITED, 300), START)
    scheduler.drop_account("main")
    assert scheduler.paused(START.monotonic) == {}
    scheduler.poll([(bucket("b1"), TIMING)], START.monotonic)
    assert take(scheduler, START).bucket.id == "b1"


SELDOM = Timing(poll_interval=3600.0, stale_after=4 * 3600.0)


def kept_over_midnight(ids: list[str], timing: Timing, second: float) -> dict[str, float]:
    """When buckets are due, in seconds after midnight, if polls at `second` kept yesterday."""
    start = Instant(MIDNIGHT + second, 1000.0)
    scheduler = make_schedule(*ids, timing=timing, start=start)
    for _ in ids:
        scheduled = take(scheduler, start)
        scheduler.complete(scheduled, reading(start), start)
        scheduler.poll_after_grace(scheduled, start)
    return {
        scheduled.bucket.id: scheduled.due - start.monotonic + second
        for scheduled in scheduler.targets
    }


def test_kept_yesterday_is_polled_again_after_grace() -> None:
    """With a long interval, buckets that kept yesterday's data are polled soon after the grace."""
    ids = [f"b{number}" for number in range(1000)]
    due = kept_over_midnight(ids, SELDOM, 300)
    assert all(600 <= each <= 1200 for each in due.values())
    minutes = [sum(600 + 60 * n <= each < 660 + 60 * n for each in due.values()) for n in range(10)]
    assert min(minutes) > 50
    assert due == pytest.approx(kept_over_midnight(ids, SELDOM, 30)), "stable"


def test_short_intervals_need_no_test_after_the_grace() -> None:
    """If the next regular poll is soon after the grace period, no extra poll is added."""
    start = Instant(MIDNIGHT + 300, 1000.0)
    for interval in (60.0, 900.0):
        scheduler = make_schedule("b1", timing=Timing(poll_interval=interval), start=start)
        scheduled = take(scheduler, start)
        scheduler.complete(scheduled, reading(start), start)
        scheduled.due = regular = start.monotonic + 300 + min(interval, 600)
        scheduler.poll_after_grace(scheduled, start)
        assert scheduled.due == regular


def test_poll_after_the_grace_stands_for_a_regular_one() -> None:
    """After the extra poll the bucket returns to its regular offset and interval."""
    start = Instant(MIDNIGHT + 300, 1000.0)
    scheduler = make_schedule("b1", timing=SELDOM, start=start)
    scheduled = take(scheduler, start)
    scheduler.complete(scheduled, reading(start), start)
    scheduler.poll_after_grace(scheduled, start)
    now = after(start, scheduled.due - start.monotonic)
    assert take(scheduler, now) is scheduled
    assert scheduler.pop_due(now.monotonic + 7200) is None
    scheduler.complete(scheduled, reading(now), now)
    assert 1800 <= scheduled.due - now.monotonic <= 5400
