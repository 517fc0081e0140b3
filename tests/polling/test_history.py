"""What is remembered of the last polls."""

from __future__ import annotations

import tracemalloc

import pytest

from exporter.model import BucketKey, BucketState, Instant, PollResult, Reason, Timing
from exporter.polling.history import KEPT, PollHistory, PollRecord
from tests.fakes import NOON, after, failure, node, reading

START = Instant(NOON, 1000.0)
KEY = BucketKey("main", "b1")


def noted(history: PollHistory, *outcomes: PollResult) -> None:
    """Note polls of the bucket that ended like this."""
    state = BucketState(START)
    for outcome in outcomes:
        state = state.after(outcome, Timing())
        history.record(KEY, state)


def held() -> PollHistory:
    """A history of the bucket."""
    history = PollHistory()
    history.sync([KEY])
    return history


@pytest.mark.parametrize("reason", list(Reason))
def test_failures_keep_their_reason(reason: Reason) -> None:
    """Each reason comes out as it went in."""
    history = held()
    noted(history, failure(START, reason))
    assert history.polls(KEY) == (PollRecord(int(NOON), reason, 0, 0.5),)


def test_good_polls_count_who_is_not_online() -> None:
    """A node without a status says nothing; all others but ONLINE count."""
    history = held()
    nodes = [node("a", status="ONLINE"), node("b", status="OFFLINE"), node("c", status="x")]
    noted(history, reading(START, *nodes, node("d")))
    assert history.polls(KEY) == (PollRecord(int(NOON), None, 2, 0.25),)


def test_only_the_last_are_kept() -> None:
    """What is older gives way, the order stays."""
    history = held()
    noted(history, *(reading(after(START, 60.0 * number)) for number in range(KEPT + 5)))
    polls = history.polls(KEY)
    assert len(polls) == KEPT
    assert [poll.ended for poll in polls] == [int(NOON) + 60 * (n + 5) for n in range(KEPT)]


def test_absurd_polls_fit() -> None:
    """Neither thousands of nodes nor a poll of a day break the record."""
    history = held()
    nodes = [node(f"h{number}", status="OFFLINE") for number in range(300)]
    noted(history, reading(START, *nodes, duration=86400.0))
    (poll,) = history.polls(KEY)
    assert (poll.nodes_not_online, poll.duration) == (255, 65504.0)


def test_what_is_not_held_is_not_remembered() -> None:
    """Buckets that go are forgotten, those that stay are not, and strangers are not noted."""
    history, other = held(), BucketKey("other", "b2")
    noted(history, reading(START))
    history.record(other, BucketState(START).after(reading(START), Timing()))
    assert not history.polls(other)
    history.sync([KEY, other])
    assert len(history.polls(KEY)) == 1
    history.sync([other])
    assert not history.polls(KEY)


def test_an_account_can_be_forgotten() -> None:
    """Its buckets are held on, without a past."""
    history = held()
    noted(history, reading(START))
    history.drop_account("other")
    assert history.polls(KEY)
    history.drop_account("main")
    assert not history.polls(KEY)
    noted(history, reading(START))
    assert len(history.polls(KEY)) == 1


def test_it_stays_small() -> None:
    """A bucket's past is one string of bytes: three megabytes for ten thousand buckets."""
    history, keys = PollHistory(), [BucketKey("main", f"b{number}") for number in range(100)]
    history.sync(keys)
    state = BucketState(START).after(reading(START), Timing())
    tracemalloc.start()
    for _ in range(2 * KEPT):
        for key in keys:
            history.record(key, state)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(history.polls(keys[0])) == KEPT
    assert held_bytes <= 300 * len(keys)
