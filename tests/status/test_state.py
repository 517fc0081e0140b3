"""How buckets stand, and in which order."""

from __future__ import annotations

import pytest

from exporter.model import BucketState, Outcome, Reason, Timing
from exporter.status.state import (
    DownNode,
    Placed,
    Standing,
    Tally,
    shown_nodes,
    status_name,
    worst_first,
)
from exporter.status.summary import headline
from tests.fakes import after, bucket, failure, node, reading
from tests.status.boards import START, HeldBucket, placed

ONLINE, OFFLINE = node("a", status="ONLINE"), node("b", status="OFFLINE")
STALE = Timing().stale_after


def held(name: str, *outcomes: Outcome) -> HeldBucket:
    """A bucket after some polls."""
    state = BucketState(START)
    for outcome in outcomes:
        state = state.after(outcome, Timing())
    return HeldBucket(bucket(name), state)


STALE_ONE = held("stale", reading(after(START, -STALE), OFFLINE), failure(START))
NEVER_GOOD = held("never", failure(START, Reason.NOT_FOUND))
FAILING = held("failing", reading(START, ONLINE), failure(START))
PENDING = held("pending")
WORSE = held("worse", reading(START, OFFLINE, node("c", status="x")))
DEGRADED = held("degraded", reading(START, ONLINE, OFFLINE))
UP = held("up", reading(START, ONLINE, node("silent")))
EMPTY = held("empty", reading(START))


@pytest.mark.parametrize(
    ("one", "standing"),
    [
        (STALE_ONE, Standing.FAILING),
        (NEVER_GOOD, Standing.FAILING),
        (FAILING, Standing.FAILING),
        (PENDING, Standing.PENDING),
        (WORSE, Standing.DEGRADED),
        (DEGRADED, Standing.DEGRADED),
        (UP, Standing.UP),
        (EMPTY, Standing.UP),
    ],
)
def test_standings(one: HeldBucket, standing: Standing) -> None:
    """A failure is failing, silence pending, a node not online degraded, the rest up."""
    assert placed(one).standing is standing


@pytest.mark.parametrize("one", [PENDING, UP])
def test_what_gets_old_is_failing(one: HeldBucket) -> None:
    """From the moment at which the metrics drop its numbers a bucket is failing as overdue."""
    just_before = after(START, STALE - 0.001)
    assert placed(one, just_before).standing is not Standing.FAILING
    tally = Tally()
    assert tally.place(one, START.monotonic + STALE).standing is Standing.FAILING
    assert tally.reasons == {Reason.OVERDUE: 1}
    assert tally.stale == 1


def test_the_worst_come_first() -> None:
    """Without numbers, with numbers, pending, most nodes down, up; by name among equals."""
    order = [NEVER_GOOD, STALE_ONE, FAILING, PENDING, WORSE, DEGRADED, EMPTY, UP]
    mixed = [placed(each) for each in reversed(order)]
    assert [each.held for each in worst_first(mixed)] == order


def tallied(*each: HeldBucket) -> tuple[Tally, list[Placed]]:
    """Buckets counted and placed."""
    tally = Tally()
    return tally, [tally.place(one, START.monotonic) for one in each]


def test_tally_counts_what_may_be_shown() -> None:
    """Buckets by state, reasons, accounts; nodes only where their numbers may be shown."""
    tally, _ = tallied(STALE_ONE, NEVER_GOOD, FAILING, PENDING, WORSE, DEGRADED, UP)
    assert tally.buckets == 7
    assert tally.standings == {
        Standing.FAILING: 3,
        Standing.PENDING: 1,
        Standing.DEGRADED: 2,
        Standing.UP: 1,
    }
    assert tally.reasons == {Reason.TIMEOUT: 2, Reason.NOT_FOUND: 1}
    assert tally.accounts == {"main": 7}
    assert (tally.nodes, tally.not_online, tally.stale) == (7, 3, 1)
    assert tally.down == {
        DownNode("b", "192.0.2.1", "OFFLINE"): 2,
        DownNode("c", "192.0.2.1", "x"): 1,
    }


def test_stale_nodes_are_not_shown() -> None:
    """Nodes are shown by the metrics' own rule."""
    assert shown_nodes(UP, START.monotonic + STALE - 0.001)
    assert not shown_nodes(UP, START.monotonic + STALE)
    assert not shown_nodes(PENDING, START.monotonic)


@pytest.mark.parametrize(
    ("status", "name"), [("ONLINE", "ONLINE"), ("online", "UNKNOWN"), ("", "UNKNOWN"), (None, "")]
)
def test_status_names_are_those_of_the_metrics(status: str | None, name: str) -> None:
    """What is outside of the known ones is UNKNOWN, what is not told is nothing."""
    assert status_name(node("h", status=status), ["ONLINE"]) == name


@pytest.mark.parametrize(
    ("buckets", "text", "short", "standing"),
    [
        ([], "No buckets are polled", "no buckets", Standing.PENDING),
        ([UP], "The bucket is up", "all up", Standing.UP),
        ([UP, EMPTY], "All 2 buckets are up", "all up", Standing.UP),
        ([FAILING, UP], "1 of 2 buckets is failing", "1 failing", Standing.FAILING),
        ([FAILING, NEVER_GOOD], "2 of 2 buckets are failing", "2 failing", Standing.FAILING),
        ([PENDING], "1 of 1 bucket waits for the first poll", "1 waiting", Standing.PENDING),
        ([PENDING] * 2, "2 of 2 buckets wait for the first poll", "2 waiting", Standing.PENDING),
        (
            [UP, DEGRADED],
            "All buckets are up, 1 of 4 nodes not online",
            "1 not online",
            Standing.DEGRADED,
        ),
    ],
)
def test_headline(buckets: list[HeldBucket], text: str, short: str, standing: Standing) -> None:
    """One sentence says the worst that there is."""
    said = headline(tallied(*buckets)[0])
    assert (said.text, said.short, said.standing) == (text, short, standing)
