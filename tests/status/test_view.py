"""What the pages show about one bucket."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from exporter.model import BucketState, DayStats, Instant, Reason, Timing
from exporter.polling.targets import PollRecord
from exporter.status.text import ADVICE
from exporter.status.view import HEIGHT, WIDTH, BucketView, bucket_view, poll_text, sparkline
from tests.harness.fakes import NOON, after, bucket, failure, node, reading
from tests.status.snapshots import START, FixedSnapshot, bucket_status, ranked

STALE = Timing().stale_after


def seen(state: BucketState, now: Instant = START) -> BucketView:
    """The view of a bucket with this state."""
    status = bucket_status(bucket(), state)
    return bucket_view(ranked(status, now), FixedSnapshot((status,), now).take())


def test_a_failure_has_words_and_its_message() -> None:
    """A failing bucket is shown with the reason, its advice and the error message."""
    trouble = seen(BucketState(START).after(failure(START, Reason.TLS), Timing())).trouble
    assert trouble is not None
    assert (trouble.reason, trouble.advice, trouble.message) == (
        Reason.TLS,
        ADVICE[Reason.TLS],
        "because of tls",
    )


def test_overdue_has_no_message() -> None:
    """An overdue bucket has no error message, because no poll failed."""
    trouble = seen(BucketState(START), after(START, STALE)).trouble
    assert trouble is not None
    assert (trouble.reason, trouble.message) == (Reason.OVERDUE, "")


def test_values_go_when_the_metrics_go() -> None:
    """Nodes, day and latencies are shown until `stale_after`, and not after it."""
    state = BucketState(START).after(reading(START, node("h", latency_last_seconds=0.1)), Timing())
    fresh = seen(state, after(START, STALE - 0.001))
    assert (fresh.is_fresh, fresh.is_stale, len(fresh.nodes)) == (True, False, 1)
    assert fresh.latencies == (0.1, 0.1)
    stale = seen(state, after(START, STALE))
    assert (stale.is_fresh, stale.is_stale, stale.nodes, stale.stats) == (False, True, (), None)
    assert stale.latencies is None
    assert stale.last_success is not None
    assert stale.last_success.age == STALE


def test_never_polled_is_not_stale() -> None:
    """A bucket without a successful poll is not shown as stale."""
    assert not seen(BucketState(START), after(START, STALE)).is_stale


def test_ages_do_not_follow_the_wall_clock() -> None:
    """Setting the wall clock changes neither the age nor the time of the last poll."""
    state = BucketState(START).after(reading(START), Timing())
    view = seen(state, Instant(NOON + 7200, START.monotonic + 5))
    assert view.last_success == view.last_poll == (NOON, 5.0)


def test_the_next_poll_lies_ahead() -> None:
    """The next poll's age is negative until it is due."""
    assert seen(BucketState(START)).next_poll_at == (NOON + 30, -30.0)


def test_nodes_not_online_come_first() -> None:
    """Nodes that are not online come first, then by host; a node without a status is not down."""
    nodes = [
        node("d"),
        node("c", status="ONLINE"),
        node("b", status="x"),
        node("a", status="ONLINE"),
    ]
    view = seen(BucketState(START).after(reading(START, *nodes), Timing()))
    assert [each.host for each in view.nodes] == ["b", "a", "c", "d"]
    assert [each.host for each in view.down] == ["b"]


def test_the_previous_day_is_shown_until_the_next_one_may_be() -> None:
    """The previous day is shown even if the bucket is stale, and not once the day has changed."""
    yesterday = DayStats(START.day - timedelta(days=1), (node("gone", uptime_ratio=0.5),))
    state = replace(BucketState(START), previous_day=yesterday)
    assert seen(state, after(START, STALE)).previous_day is yesterday
    assert seen(state, after(START, 86400)).previous_day is None
    assert seen(BucketState(START)).previous_day is None


def test_the_picture_grows_from_the_right() -> None:
    """The newest poll is at the sparkline's right end; only failed polls have full height."""
    polls = [
        PollRecord(int(NOON), None, 0, 0.1),
        PollRecord(int(NOON) + 60, Reason.TIMEOUT, 0, 10.0),
        PollRecord(int(NOON) + 120, None, 2, 0.4),
    ]
    shown = sparkline(polls)
    assert [bar.kind for bar in shown.bars] == ["good", "failed", "degraded"]
    assert shown.bars[-1].x + 5 == WIDTH
    assert [bar.x for bar in shown.bars] == sorted({bar.x for bar in shown.bars})
    small, full, large = (bar.height for bar in shown.bars)
    assert 0 < small < large < full == HEIGHT
    assert all(bar.y + bar.height == HEIGHT for bar in shown.bars)
    assert list(shown.outlines()) == ["good", "failed", "degraded"]
    assert shown.outlines()["failed"] == f"M{WIDTH - 10} {HEIGHT}v-{HEIGHT}h4v{HEIGHT}z"
    assert shown.words == "Last 3 polls: 2 succeeded, 1 failed (timeout 1)"


def test_the_picture_in_words() -> None:
    """Polls are also described as text, for screen readers."""
    good = PollRecord(int(NOON), None, 0, 0.0)
    assert sparkline([]).words == "No finished poll yet"
    assert sparkline([good]).words == "Last 1 poll: all succeeded"
    assert sparkline([good]).bars[0].height > 0
    assert poll_text(good) == "succeeded in 0.0 ms"
    assert poll_text(good._replace(nodes_not_online=1)) == (
        "succeeded in 0.0 ms, 1 node not online"
    )
    assert poll_text(good._replace(reason=Reason.TLS)) == "failed (tls) after 0.0 ms"
