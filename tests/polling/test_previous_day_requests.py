"""Which previous day is requested, when, and how often."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date
from itertools import pairwise

from exporter.model import Bucket, BucketState, DayStats, Instant, Timing
from exporter.polling.previous_day import LONGEST_WAIT, PreviousDayQueue, PreviousDayRequest
from exporter.polling.targets import Target, Targets
from tests.harness.fakes import MIDNIGHT, NOON, after, bucket, reading
from tests.polling.scheduled import sync

TIMING = Timing()
START = Instant(NOON, 1000.0)
YESTERDAY = date(2024, 1, 14)
STATE = BucketState(START).after(reading(START), TIMING)
NOBODY: frozenset[str] = frozenset()


def take(days: Days, paused: Collection[str] = NOBODY) -> PreviousDayRequest | None:
    """The next request of an account that is not paused."""
    account = next(iter(days.wanted(paused)), None)
    return None if account is None else days.pop(account)


class Days(PreviousDayQueue):
    """A queue together with its targets."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.targets = Targets()
        super().__init__(self.targets, enabled=enabled)

    def target(self, of: Bucket) -> Target:
        """The target of a bucket; added if it is not polled yet."""
        for target in self.targets:
            if target.bucket.key == of.key:
                return target
        sync(self.targets, [*((each.bucket, TIMING) for each in self.targets), (of, TIMING)], START)
        return self.target(of)

    def good_poll(self, of: Bucket, now: Instant = START, state: BucketState = STATE) -> None:
        """Record a successful poll of a bucket."""
        target = self.target(of)
        target.state = state
        self.consider(target, now)

    def keep(self, *buckets: Bucket) -> None:
        """Poll only these buckets from now on."""
        sync(self.targets, [(each, TIMING) for each in buckets], START)
        self.sync()


def considered(days: Days, of: Bucket, now: Instant = START) -> PreviousDayRequest | None:
    """The request that is due after a successful poll of a bucket."""
    days.good_poll(of, now)
    return take(days)


def answer(days: Days, request: PreviousDayRequest) -> None:
    """Record a response to the request."""
    assert days.is_current(request)
    days.targets.record_previous_day(request.target, DayStats(request.day, ()), START)


def test_each_bucket_is_asked_for_once() -> None:
    """The first good poll queues one request, later polls no more; a response completes it."""
    days = Days()
    question = considered(days, bucket())
    assert question is not None
    assert question.day == YESTERDAY
    assert considered(days, bucket()) is None
    assert considered(days, bucket("b2")) is not None
    answer(days, question)
    held = replace(STATE, previous_day=DayStats(YESTERDAY, ()))
    days.good_poll(bucket(), after(START, 60), held)
    assert take(days) is None


def test_next_day_is_asked_for_in_its_own_time() -> None:
    """A bucket that has yesterday's data requests the next day at its own time after the grace."""
    days = Days()
    held = replace(STATE, previous_day=DayStats(YESTERDAY, ()))
    start = TIMING.previous_day_exposed_between(date(2024, 1, 15), "b1")[0]
    assert MIDNIGHT + 600 <= start < MIDNIGHT + 4200
    for wall in (MIDNIGHT + 600, start - 1):
        days.good_poll(bucket(), Instant(wall, 0), held)
        assert take(days) is None
    days.good_poll(bucket(), Instant(start, 0), held)
    question = take(days)
    assert question is not None
    assert question.day == date(2024, 1, 15)


def test_failure_is_asked_again_ever_less_often() -> None:
    """After a failure the request is retried with the next poll; the wait doubles up to an hour."""
    days, now, asked = Days(), START, []
    while now.monotonic < START.monotonic + 6 * 3600:
        question = considered(days, bucket(), now)
        if question is not None:
            asked.append(now.monotonic)
            assert days.failed(question, now.monotonic) == (len(asked) == 1)
        now = after(now, 60)
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits[:6] == [60, 120, 240, 480, 960, 1920]
    assert set(waits[6:]) == {LONGEST_WAIT}


def test_waits_are_those_of_polls_although_answers_take_a_while() -> None:
    """A slow failed request is retried with the next poll, not the one after it."""
    days, now, asked = Days(), START, []
    while now.monotonic < START.monotonic + 3600:
        question = considered(days, bucket(), now)
        if question is not None:
            asked.append(now.monotonic)
            days.failed(question, now.monotonic + 9)
        now = after(now, 60)
    assert [later - earlier for earlier, later in pairwise(asked)] == [60, 120, 240, 480, 960]


def test_buckets_that_come_and_go_leave_nothing() -> None:
    """Requests of removed buckets are dropped from the queue."""
    days = Days()
    for number in range(1000):
        days.good_poll(bucket(f"b{number}", "paused"))
        days.keep(bucket(f"b{number}", "paused"))
    asked = []
    while days.wanted(NOBODY):
        asked.append(days.pop("paused").target.bucket.id)
    assert asked == ["b999"]


def test_account_waits_since_its_question_came_up() -> None:
    """Each account reports since when its oldest request waits, so that accounts can take turns."""
    days = Days()
    days.good_poll(bucket("b1", "a"))
    days.good_poll(bucket("b2", "a"), after(START, 5))
    days.good_poll(bucket("b3", "b"), after(START, 7))
    assert days.wanted(NOBODY) == {"a": START.monotonic, "b": START.monotonic + 7}
    assert days.pop("a").target.bucket.id == "b1"
    assert days.wanted({"b"}) == {"a": START.monotonic + 5}


def test_paused_account_keeps_its_questions() -> None:
    """While an account is paused its requests stay queued, and other accounts' are made."""
    days = Days()
    days.good_poll(bucket("b1", "paused"))
    days.good_poll(bucket("b2"))
    first = take(days, {"paused"})
    assert first is not None
    assert first.target.bucket.id == "b2"
    assert take(days, {"paused"}) is None
    assert take(days) is not None


def test_what_was_being_asked_waits_again() -> None:
    """A request that was cut off is queued again; one that has its response is not."""
    days = Days()
    answered, running = considered(days, bucket("b1")), considered(days, bucket("b2"))
    assert answered is not None
    assert running is not None
    answer(days, answered)
    days.requeue_running()
    assert take(days) == running
    assert take(days) is None


def test_what_nobody_wants_any_more_is_not_asked() -> None:
    """Removing a bucket or an account drops its requests, also the running ones."""
    days = Days()
    running = considered(days, bucket("b1"))
    assert running is not None
    days.good_poll(bucket("b2"))
    days.keep()
    assert take(days) is None
    assert not days.is_current(running)
    assert not days.failed(running, 0.0)
    days.good_poll(bucket("b2"))
    days.targets.drop_account("main")
    days.sync()
    assert take(days) is None


def test_day_that_failed_gives_way_to_the_next() -> None:
    """A failed request for a day is dropped once a newer day has ended."""
    days = Days()
    question = considered(days, bucket())
    assert question is not None
    days.failed(question, START.monotonic)
    tomorrow = considered(days, bucket(), after(START, 86400))
    assert tomorrow is not None
    assert tomorrow.day == date(2024, 1, 15)
    assert not days.is_current(question)


def test_none_is_wanted_where_the_process_ends_at_once() -> None:
    """With enabled=False, no previous day is ever requested."""
    assert considered(Days(enabled=False), bucket()) is None
