"""The health of buckets, and their order."""

from __future__ import annotations

import pytest

from exporter.model import BucketState, PollResult, Reason, Timing
from exporter.status.snapshot import BucketStatus
from exporter.status.state import (
    DownNode,
    Health,
    RankedBucket,
    Totals,
    shown_nodes,
    status_name,
    worst_first,
)
from exporter.status.summary import headline
from tests.harness.fakes import after, bucket, failure, node, reading
from tests.status.snapshots import START, bucket_status, ranked

ONLINE, OFFLINE = node("a", status="ONLINE"), node("b", status="OFFLINE")
STALE = Timing().stale_after


def held(name: str, *outcomes: PollResult) -> BucketStatus:
    """A bucket after polls with these results."""
    state = BucketState(START)
    for outcome in outcomes:
        state = state.after(outcome, Timing())
    return bucket_status(bucket(name), state)


STALE_ONE = held("stale", reading(after(START, -STALE), OFFLINE), failure(START))
NEVER_GOOD = held("never", failure(START, Reason.NOT_FOUND))
FAILING = held("failing", reading(START, ONLINE), failure(START))
PENDING = held("pending")
WORSE = held("worse", reading(START, OFFLINE, node("c", status="x")))
DEGRADED = held("degraded", reading(START, ONLINE, OFFLINE))
UP = held("up", reading(START, ONLINE, node("silent")))
EMPTY = held("empty", reading(START))


@pytest.mark.parametrize(
    ("one", "health"),
    [
        (STALE_ONE, Health.FAILING),
        (NEVER_GOOD, Health.FAILING),
        (FAILING, Health.FAILING),
        (PENDING, Health.PENDING),
        (WORSE, Health.DEGRADED),
        (DEGRADED, Health.DEGRADED),
        (UP, Health.UP),
        (EMPTY, Health.UP),
    ],
)
def test_health(one: BucketStatus, health: Health) -> None:
    """A bucket is failing after a failure, pending without polls, degraded with a node down."""
    assert ranked(one).health is health


@pytest.mark.parametrize("one", [PENDING, UP])
def test_what_gets_old_is_failing(one: BucketStatus) -> None:
    """A bucket is failing as overdue from the moment at which the metrics drop its values."""
    just_before = after(START, STALE - 0.001)
    assert ranked(one, just_before).health is not Health.FAILING
    totals = Totals()
    assert totals.add(one, START.monotonic + STALE).health is Health.FAILING
    assert totals.reasons == {Reason.OVERDUE: 1}
    assert totals.stale == (one is UP)


def test_the_worst_come_first() -> None:
    """Failing buckets come first, then pending, degraded by nodes down, and up; then by name."""
    order = [NEVER_GOOD, STALE_ONE, FAILING, PENDING, WORSE, DEGRADED, EMPTY, UP]
    mixed = [ranked(each) for each in reversed(order)]
    assert [each.status for each in worst_first(mixed)] == order


def tallied(*each: BucketStatus) -> tuple[Totals, list[RankedBucket]]:
    """The totals over some buckets, and the buckets with their ranks."""
    totals = Totals()
    return totals, [totals.add(one, START.monotonic) for one in each]


def test_tally_counts_what_may_be_shown() -> None:
    """Totals count buckets by state, reason and account, and nodes of buckets that are fresh."""
    totals, _ = tallied(STALE_ONE, NEVER_GOOD, FAILING, PENDING, WORSE, DEGRADED, UP)
    assert totals.buckets == 7
    assert totals.by_health == {
        Health.FAILING: 3,
        Health.PENDING: 1,
        Health.DEGRADED: 2,
        Health.UP: 1,
    }
    assert totals.reasons == {Reason.TIMEOUT: 2, Reason.NOT_FOUND: 1}
    assert totals.accounts == {"main": 7}
    assert (totals.nodes, totals.not_online, totals.stale) == (7, 3, 1)
    assert totals.down == {
        DownNode("b", "192.0.2.1", "OFFLINE"): 2,
        DownNode("c", "192.0.2.1", "x"): 1,
    }


def test_stale_nodes_are_not_shown() -> None:
    """Nodes are shown until `stale_after`, as in the metrics."""
    assert shown_nodes(UP, START.monotonic + STALE - 0.001)
    assert not shown_nodes(UP, START.monotonic + STALE)
    assert not shown_nodes(PENDING, START.monotonic)


@pytest.mark.parametrize(
    ("status", "name"), [("ONLINE", "ONLINE"), ("online", "UNKNOWN"), ("", "UNKNOWN"), (None, "")]
)
def test_status_names_are_those_of_the_metrics(status: str | None, name: str) -> None:
    """A status that is not one of the known ones is UNKNOWN, and a missing one is empty."""
    assert status_name(node("h", status=status), ["ONLINE"]) == name


@pytest.mark.parametrize(
    ("buckets", "text", "short", "health"),
    [
        ([], "No buckets are polled", "no buckets", Health.PENDING),
        ([UP], "The bucket is up", "all up", Health.UP),
        ([UP, EMPTY], "All 2 buckets are up", "all up", Health.UP),
        ([FAILING, UP], "1 of 2 buckets is failing", "1 failing", Health.FAILING),
        ([FAILING, NEVER_GOOD], "2 of 2 buckets are failing", "2 failing", Health.FAILING),
        ([PENDING], "1 of 1 bucket is waiting for the first poll", "1 pending", Health.PENDING),
        (
            [PENDING] * 2,
            "2 of 2 buckets are waiting for the first poll",
            "2 pending",
            Health.PENDING,
        ),
        (
            [UP, DEGRADED],
            "All buckets are up, 1 of 4 nodes not online",
            "1 not online",
            Health.DEGRADED,
        ),
    ],
)
def test_headline(buckets: list[BucketStatus], text: str, short: str, health: Health) -> None:
    """The headline describes the worst state among the buckets."""
    said = headline(tallied(*buckets)[0])
    assert (said.text, said.short, said.health) == (text, short, health)
