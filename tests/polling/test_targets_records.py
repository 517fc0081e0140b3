"""The history of a bucket's last polls."""

from __future__ import annotations

import pytest

from exporter.model import BucketState, Instant, PollResult, Reason, Timing
from exporter.polling.targets import HISTORY_LENGTH, PollRecord, appended, records
from tests.harness.fakes import NOON, after, failure, node, reading

START = Instant(NOON, 1000.0)


def polls(*results: PollResult) -> tuple[PollRecord, ...]:
    """The records of polls with these results."""
    state, history = BucketState(START), b""
    for result in results:
        state = state.after(result, Timing())
        history = appended(history, state)
    return records(history)


@pytest.mark.parametrize("reason", list(Reason))
def test_failures_keep_their_reason(reason: Reason) -> None:
    """A record returns the reason that was stored."""
    assert polls(failure(START, reason)) == (PollRecord(int(NOON), reason, 0, 0.5),)


def test_good_polls_count_who_is_not_online() -> None:
    """The record counts nodes with a status other than ONLINE, but not nodes without a status."""
    nodes = [node("a", status="ONLINE"), node("b", status="OFFLINE"), node("c", status="x")]
    assert polls(reading(START, *nodes, node("d"))) == (PollRecord(int(NOON), None, 2, 0.25),)


def test_only_the_last_are_kept() -> None:
    """Only the newest records are kept, in order."""
    kept = polls(*(reading(after(START, 60.0 * number)) for number in range(HISTORY_LENGTH + 5)))
    assert len(kept) == HISTORY_LENGTH
    assert [poll.ended for poll in kept] == [
        int(NOON) + 60 * (n + 5) for n in range(HISTORY_LENGTH)
    ]


def test_absurd_polls_fit() -> None:
    """Too many nodes or too long a duration is stored as the maximum."""
    nodes = [node(f"h{number}", status="OFFLINE") for number in range(300)]
    (poll,) = polls(reading(START, *nodes, duration=86400.0))
    assert (poll.nodes_not_online, poll.duration) == (255, 65504.0)


def test_it_stays_small() -> None:
    """A history takes 8 bytes per poll, so 10,000 buckets need about 2.5 MB."""
    state, history = BucketState(START).after(reading(START), Timing()), b""
    for _ in range(2 * HISTORY_LENGTH):
        history = appended(history, state)
    assert len(records(history)) == HISTORY_LENGTH
    assert len(history) == 8 * HISTORY_LENGTH
