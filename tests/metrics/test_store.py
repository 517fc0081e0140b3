"""The one shared mutable thing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.render import render_bucket
from exporter.metrics.store import MetricsStore
from exporter.model import BucketKey, DayStats, Instant, Node, Timing
from tests.fakes import MIDNIGHT, NOON, after, bucket, failure, node, reading

TIMING = Timing()
START = Instant(NOON, 1000.0)


def make_store() -> MetricsStore:
    """A store with two buckets that were never polled."""
    store = MetricsStore()
    store.sync([(bucket(bucket_id), TIMING) for bucket_id in ("b1", "b2")], ("ONLINE",), START)
    return store


def test_outcomes_are_recorded_per_bucket() -> None:
    """What happens to one bucket leaves the other as it was."""
    store = make_store()
    before, now = store.record(BucketKey("main", "b1"), reading(START, node(uptime_ratio=0.5)))
    assert before.newest is None
    assert now.last_success == START
    first, second = store
    assert first.state is now
    assert second.state.newest is None


def test_page_shows_every_bucket_as_of_a_moment() -> None:
    """The page holds all buckets, each fresh or stale by its own last success."""
    store = make_store()
    store.record(BucketKey("main", "b1"), reading(START))
    store.record(BucketKey("main", "b2"), reading(after(START, 100)))
    text = b"".join(store.render(START.monotonic + 350)).decode()
    assert 'flashback_bucket_up{bucket_id="b1"} 0\n' in text
    assert 'flashback_bucket_up{bucket_id="b2"} 1\n' in text


def test_page_is_kept_until_it_would_look_another_way() -> None:
    """An unchanged page is not made again; a poll, age and an earlier moment make it anew."""
    store = make_store()
    store.record(BucketKey("main", "b1"), reading(START))
    now = START.monotonic
    first = b"".join(store.render(now))
    (text,) = store.render(now)
    assert text == first
    (again,) = store.render(now + 10)
    assert again is text
    (earlier,) = store.render(now - 1)
    assert earlier == text
    assert earlier is not text
    assert b"".join(store.render(now + 400)) != text
    store.record(BucketKey("main", "b2"), reading(after(START, 400)))
    assert b'flashback_bucket_up{bucket_id="b2"} 1' in b"".join(store.render(now + 401))


def test_page_being_made_in_chunks_is_of_its_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded while a page is read is on the next one, and on no part of this one."""
    store = make_store()
    store.record(BucketKey("main", "b1"), failure(START))
    monkeypatch.setattr("exporter.metrics.store.KEPT_PAGE", 0)
    before = b"".join(store.render(START.monotonic))
    making = store.render(START.monotonic)
    chunks = [next(making)]
    store.record(BucketKey("main", "b2"), reading(START))
    assert b"".join([*chunks, *making]) == before
    assert b"".join(store.render(START.monotonic)) != before


def test_large_page_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take much memory is made anew each time, and is the same."""
    monkeypatch.setattr("exporter.metrics.store.KEPT_PAGE", 100)
    store = make_store()
    first, second = (list(store.render(START.monotonic)) for _ in range(2))
    assert first == second
    assert len(first) > 1


def test_page_is_kept_as_long_as_it_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is made in one go is told by what it holds now, whatever it once held."""
    store = make_store()
    nodes = [node(f"n{number}", uptime_ratio=0.5) for number in range(60)]
    now, key = START.monotonic, BucketKey("main", "b1")
    headers = len(b"".join(MetricsStore().render(now)))
    monkeypatch.setattr("exporter.metrics.store.KEPT_PAGE", 2000)

    def is_whole() -> bool:
        chunks = list(store.render(now))
        assert (len(chunks) == 1) == (sum(map(len, chunks)) - headers <= 2000)
        return len(chunks) == 1

    assert is_whole()
    store.record(key, reading(START, *nodes))
    assert not is_whole()
    store.record(key, reading(START, node(uptime_ratio=0.5)))
    assert is_whole()
    store.record_previous_day(key, DayStats(date(2024, 1, 14), tuple(nodes * 3)), START)
    assert not is_whole()
    store.sync([(bucket("b2"), TIMING)], ("ONLINE",), START)
    assert is_whole()
    store.record(BucketKey("main", "b2"), reading(START, *nodes))
    store.drop_account("main")
    assert is_whole()


def test_failure_keeps_the_reading() -> None:
    """A failure after a success leaves its nodes on the page."""
    store = make_store()
    store.record(BucketKey("main", "b1"), reading(START, node(uptime_ratio=0.5)))
    store.record(BucketKey("main", "b1"), failure(after(START, 60)))
    text = b"".join(store.render(START.monotonic + 60)).decode()
    assert "flashback_node_uptime_ratio{" in text
    assert len(store) == 2


def test_holding_others_keeps_what_stays() -> None:
    """Vanished buckets go with all their series; what stays keeps its reading under a new name."""
    store = make_store()
    assert store.unpolled == {BucketKey("main", "b1"), BucketKey("main", "b2")}
    for bucket_id in ("b1", "b2"):
        store.record(BucketKey("main", bucket_id), reading(START, node(uptime_ratio=0.5)))
    assert not store.unpolled
    renamed = replace(bucket("b1"), name="renamed")
    store.sync([(renamed, TIMING), (bucket("b3"), TIMING)], ("ONLINE",), START)
    text = b"".join(store.render(START.monotonic)).decode()
    assert "b2" not in text
    assert 'flashback_node_uptime_ratio{bucket_id="b1"' in text
    assert 'name="renamed"' in text
    assert 'name="name of b1"' not in text
    assert store.unpolled == {BucketKey("main", "b3")}


def test_unchanged_buckets_are_not_rendered_again() -> None:
    """Holding what is held costs nothing; other statuses or another timing render anew."""
    store = make_store()
    before = [entry.text for entry in store]
    held = [(entry.bucket, entry.timing) for entry in store]
    store.sync(held, ("ONLINE",), START)
    assert all(entry.text is text for entry, text in zip(store, before, strict=True))
    store.sync(held, ("ONLINE", "OFFLINE"), START)
    assert not any(entry.text is text for entry, text in zip(store, before, strict=True))
    slower = [(each, Timing(stale_after=900)) for each, _ in held]
    store.sync(slower, ("ONLINE", "OFFLINE"), START)
    assert [entry.text.fresh_until for entry in store] == [START.monotonic + 900] * 2


def test_forgotten_account_is_unknown_again() -> None:
    """After another base URL nothing that the old one said is shown."""
    store = make_store()
    store.record(BucketKey("main", "b1"), reading(START, node(uptime_ratio=0.5)))
    store.drop_account("main")
    store.sync([(bucket("b1"), TIMING)], ("ONLINE",), START)
    text = b"".join(store.render(START.monotonic)).decode()
    assert "flashback_node_uptime_ratio{" not in text
    assert store.unpolled == {BucketKey("main", "b1")}


CLOSED = DayStats(date(2024, 1, 14), (node("gone", uptime_ratio=0.75),))
GRACE_ENDS = START.monotonic + 12 * 3600 + 600
"""The end of the grace after the next midnight; the fakes' noon is where they start."""
LINE = b'flashback_node_uptime_previous_day_ratio{bucket_id="b1",ip="192.0.2.1",host="gone"} 0.75\n'


def with_previous_day() -> MetricsStore:
    """A store that knows a previous day of b1, and nothing of today."""
    store = make_store()
    store.record_previous_day(BucketKey("main", "b1"), CLOSED, START)
    return store


def test_previous_day_is_shown_until_the_next_grace_ends() -> None:
    """Its figures stay however long nothing can be polled, and go with the grace's last second."""
    store = with_previous_day()
    key = BucketKey("main", "b1")
    store.record(key, reading(START, node("today")))
    store.record(key, failure(after(START, 60)))
    assert LINE in b"".join(store.render(GRACE_ENDS - 1))
    assert LINE in b"".join(store.render(GRACE_ENDS - 0.5)), "from the page that is kept"
    assert LINE not in b"".join(store.render(GRACE_ENDS))


def test_previous_day_follows_the_wall_clock() -> None:
    """Where the clock is set forward past the grace, the next poll ends what is shown."""
    store = with_previous_day()
    later = Instant(START.wall + 86400, START.monotonic + 60)
    store.record(BucketKey("main", "b1"), reading(later))
    assert LINE not in b"".join(store.render(later.monotonic))


def test_previous_day_outlives_other_settings_but_not_another_api() -> None:
    """A new name keeps it, a longer grace lets it stay longer, forgetting the account ends it."""
    store = with_previous_day()
    timing = Timing(rollover_grace=1200)
    store.sync([(replace(bucket("b1"), name="other"), timing)], ("ONLINE",), START)
    assert LINE in b"".join(store.render(GRACE_ENDS))
    assert LINE not in b"".join(store.render(GRACE_ENDS + 600))
    store.drop_account("main")
    store.sync([(bucket("b1"), TIMING)], ("ONLINE",), START)
    assert LINE not in b"".join(store.render(START.monotonic))


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
    """Whatever a bucket's polls brought, and over midnight, no old line is left in its text."""
    store = MetricsStore()
    start = Instant(MIDNIGHT - late, 1000.0)
    store.sync([(bucket(), TIMING)], ("ONLINE",), start)
    for number, nodes in enumerate(polls):
        now = after(start, 30 * number)
        outcome = failure(now) if nodes is None else reading(now, *nodes)
        store.record(BucketKey("main", "b1"), outcome)
        (entry,) = store
        assert entry.text == render_bucket(bucket(), entry.state, TIMING, ("ONLINE",))
