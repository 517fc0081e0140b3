"""The one shared mutable thing."""

from __future__ import annotations

from exporter.model import Instant, Timing
from exporter.store import Store
from tests.fakes import NOON, after, bucket, failure, node, reading

START = Instant(NOON, 1000.0)


def make_store() -> Store:
    """A store with two buckets that were never polled."""
    store = Store(["ONLINE"])
    for bucket_id in ("b1", "b2"):
        store.add(bucket(bucket_id), Timing(), START)
    return store


def test_outcomes_are_recorded_per_bucket() -> None:
    """What happens to one bucket leaves the other as it was."""
    store = make_store()
    before, now = store.record(bucket("b1"), reading(START, node(uptime_ratio=0.5)))
    assert before.newest is None
    assert now.last_success == START
    first, second = store
    assert first.state is now
    assert second.state.newest is None


def test_page_shows_every_bucket_as_of_a_moment() -> None:
    """The page holds all buckets, each fresh or stale by its own last success."""
    store = make_store()
    store.record(bucket("b1"), reading(START))
    store.record(bucket("b2"), reading(after(START, 100)))
    text = b"".join(store.page(START.monotonic + 350)).decode()
    assert 'flashback_bucket_up{bucket_id="b1"} 0\n' in text
    assert 'flashback_bucket_up{bucket_id="b2"} 1\n' in text


def test_failure_keeps_the_reading() -> None:
    """A failure after a success leaves its nodes on the page."""
    store = make_store()
    store.record(bucket("b1"), reading(START, node(uptime_ratio=0.5)))
    store.record(bucket("b1"), failure(after(START, 60)))
    text = b"".join(store.page(START.monotonic + 60)).decode()
    assert "flashback_node_uptime_ratio{" in text
    assert len(store) == 2
