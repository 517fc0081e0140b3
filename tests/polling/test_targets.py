"""The polled buckets with their newest results, which polls and scrapes share."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.render import render_bucket
from exporter.model import BucketKey, DayStats, Instant, Node, Timing
from exporter.polling.targets import Target, Targets
from tests.harness.fakes import MIDNIGHT, NOON, after, bucket, failure, node, reading
from tests.polling.scheduled import sync

TIMING = Timing()
START = Instant(NOON, 1000.0)


def make_targets() -> Targets:
    """Targets with two buckets that were never polled."""
    targets = Targets()
    sync(targets, [(bucket(bucket_id), TIMING) for bucket_id in ("b1", "b2")], START)
    return targets


def of(targets: Targets, bucket_id: str) -> Target:
    """The target of a bucket."""
    (found,) = (each for each in targets if each.bucket.id == bucket_id)
    return found


def test_outcomes_are_recorded_per_bucket() -> None:
    """Recording a result for one bucket does not change the others."""
    targets = make_targets()
    before, now = targets.record(of(targets, "b1"), reading(START, node(uptime_ratio=0.5)))
    assert before.newest is None
    assert now.last_success == START
    first, second = targets
    assert first.state is now
    assert second.state.newest is None


def test_page_shows_every_bucket_as_of_a_moment() -> None:
    """All buckets are on the page, each up or stale by the age of its own last success."""
    targets = make_targets()
    targets.record(of(targets, "b1"), reading(START))
    targets.record(of(targets, "b2"), reading(after(START, 100)))
    text = b"".join(targets.render(START.monotonic + 350)).decode()
    assert 'flashback_bucket_up{bucket_id="b1"} 0\n' in text
    assert 'flashback_bucket_up{bucket_id="b2"} 1\n' in text


def test_page_being_made_in_chunks_is_of_its_moment() -> None:
    """Results recorded while a page is rendered in chunks appear on the next page, not this one."""
    targets = make_targets()
    targets.record(of(targets, "b1"), failure(START))
    before = b"".join(targets.render(START.monotonic))
    making = targets.render(START.monotonic)
    chunks = [next(making)]
    targets.record(of(targets, "b2"), reading(START))
    assert b"".join([*chunks, *making]) == before
    assert b"".join(targets.render(START.monotonic)) != before


def test_failure_keeps_the_reading() -> None:
    """A failure after a success keeps the samples of the last success."""
    targets = make_targets()
    targets.record(of(targets, "b1"), reading(START, node(uptime_ratio=0.5)))
    targets.record(of(targets, "b1"), failure(after(START, 60)))
    text = b"".join(targets.render(START.monotonic + 60)).decode()
    assert "flashback_node_uptime_ratio{" in text
    assert len(targets) == 2


def test_holding_others_keeps_what_stays() -> None:
    """Removed buckets lose all their series; a renamed bucket keeps its samples."""
    targets = make_targets()
    assert targets.unpolled == {BucketKey("main", "b1"), BucketKey("main", "b2")}
    for bucket_id in ("b1", "b2"):
        targets.record(of(targets, bucket_id), reading(START, node(uptime_ratio=0.5)))
    assert not targets.unpolled
    renamed = replace(bucket("b1"), name="renamed")
    sync(targets, [(renamed, TIMING), (bucket("b3"), TIMING)], START)
    text = b"".join(targets.render(START.monotonic)).decode()
    assert "b2" not in text
    assert 'flashback_node_uptime_ratio{bucket_id="b1"' in text
    assert 'name="renamed"' in text
    assert 'name="name of b1"' not in text
    assert targets.unpolled == {BucketKey("main", "b3")}


def test_unchanged_buckets_are_not_rendered_again() -> None:
    """Unchanged buckets are not rendered again; new statuses or another timing re-render them."""
    targets = make_targets()
    before = [target.text for target in targets]
    held = [(target.bucket, target.timing) for target in targets]
    sync(targets, held, START)
    assert all(target.text is text for target, text in zip(targets, before, strict=True))
    sync(targets, held, START, ("ONLINE", "OFFLINE"))
    assert not any(target.text is text for target, text in zip(targets, before, strict=True))
    slower = [(each, Timing(stale_after=900)) for each, _ in held]
    sync(targets, slower, START, ("ONLINE", "OFFLINE"))
    assert [target.text.fresh_until for target in targets] == [START.monotonic + 900] * 2


def test_forgotten_account_is_unknown_again() -> None:
    """Dropping an account drops the samples of its buckets."""
    targets = make_targets()
    targets.record(of(targets, "b1"), reading(START, node(uptime_ratio=0.5)))
    targets.drop_account("main")
    sync(targets, [(bucket("b1"), TIMING)], START)
    text = b"".join(targets.render(START.monotonic)).decode()
    assert "flashback_node_uptime_ratio{" not in text
    assert targets.unpolled == {BucketKey("main", "b1")}


PREVIOUS_DAY = DayStats(date(2024, 1, 14), (node("gone", uptime_ratio=0.75),))
GRACE_ENDS = START.monotonic + 12 * 3600 + 600
"""When the grace period after the next midnight ends; START is at noon."""
LINE = b'flashback_node_uptime_previous_day_ratio{bucket_id="b1",ip="192.0.2.1",host="gone"} 0.75\n'


def with_previous_day() -> Targets:
    """Targets with a previous day for b1 and no data of today."""
    targets = make_targets()
    targets.record_previous_day(of(targets, "b1"), PREVIOUS_DAY, START)
    return targets


def test_previous_day_is_shown_until_the_next_grace_ends() -> None:
    """Previous-day samples stay through failures until the next grace period ends."""
    targets = with_previous_day()
    key = of(targets, "b1")
    targets.record(key, reading(START, node("today")))
    targets.record(key, failure(after(START, 60)))
    assert LINE in b"".join(targets.render(GRACE_ENDS - 1))
    assert LINE in b"".join(targets.render(GRACE_ENDS - 0.5)), "half a second before"
    assert LINE not in b"".join(targets.render(GRACE_ENDS))


def test_previous_day_follows_the_wall_clock() -> None:
    """If the clock is set forward past the grace period, the next poll ends the samples."""
    targets = with_previous_day()
    later = Instant(START.wall + 86400, START.monotonic + 60)
    targets.record(of(targets, "b1"), reading(later))
    assert LINE not in b"".join(targets.render(later.monotonic))


def test_previous_day_outlives_other_settings_but_not_another_api() -> None:
    """Previous-day samples survive a new name or grace period, but not a dropped account."""
    targets = with_previous_day()
    timing = Timing(rollover_grace=1200)
    sync(targets, [(replace(bucket("b1"), name="other"), timing)], START)
    assert LINE in b"".join(targets.render(GRACE_ENDS))
    assert LINE not in b"".join(targets.render(GRACE_ENDS + 600))
    targets.drop_account("main")
    sync(targets, [(bucket("b1"), TIMING)], START)
    assert LINE not in b"".join(targets.render(START.monotonic))


FEATURES = st.sampled_from([None, "1", "ONLINE", "OFFLINE"])
NODES = st.lists(
    st.builds(
        node,
        st.sampled_from(["h1", "h2"]),
        version=FEATURES,
        status=FEATURES,
        uptime_ratio=st.sampled_from([None, 0.5, 1.0]),
    ),
    max_size=2,
)


@given(st.lists(st.none() | NODES, max_size=6), st.integers(0, 120))
def test_text_is_what_it_would_be_if_made_anew(polls: list[list[Node] | None], late: int) -> None:
    """After any series of polls, the incrementally updated text equals a full rendering."""
    targets = Targets()
    start = Instant(MIDNIGHT - late, 1000.0)
    sync(targets, [(bucket(), TIMING)], start)
    for number, nodes in enumerate(polls):
        now = after(start, 30 * number)
        result = failure(now) if nodes is None else reading(now, *nodes)
        targets.record(of(targets, "b1"), result)
        (target,) = targets
        assert target.text == render_bucket(bucket(), target.state, TIMING, ("ONLINE",))
