"""The simulated world, whose data the simulator's responses contain."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator import PUBLIC_MACHINES, Denominator, NodeDay, World
from exporter.simulator.data_faults import node_down
from exporter.simulator.world import (
    HUNDREDS_OF_MACHINES,
    PRIVATE_MACHINES,
    SECONDS_PER_DAY,
    HourlyEvent,
    day_stretches,
    day_to_unix,
    unix_to_day,
)

DAY = date(2024, 1, 15)
MIDNIGHT = 1705276800  # the same, as Unix time
HOUR = 3600

seeds = st.integers(min_value=0, max_value=2**64)
buckets = st.text(max_size=20)
days = st.dates(min_value=date(2000, 1, 1), max_value=date(2100, 1, 1))
seconds = st.floats(min_value=60, max_value=SECONDS_PER_DAY - 0.01)
denominators = st.sampled_from(Denominator)


def by_host(nodes: tuple[NodeDay, ...]) -> dict[str, NodeDay]:
    """The nodes by their host."""
    return {node.host: node for node in nodes}


def test_a_row_is_what_the_vendors_page_shows() -> None:
    """A given seed, bucket and time always give exactly this row."""
    aws = World(7).stats("65f1c0ffee", DAY, MIDNIGHT + 10.5 * HOUR)[0]
    assert aws.row() == {
        "ip": "198.51.100.11",
        "host": "*-us-east-1-aws.flashback.tech",
        "perc_uptime": 100.0,
        "avg_latency_ms": 34.1,
        "version": "1.140.9",
        "node_status": "ONLINE",
        "last_updated": "2024-01-15T10:29:36Z",
        "last_latency_ms": 36.4,
    }


@given(seed=seeds, bucket=buckets, day=days, second=seconds, denominator=denominators)
def test_figures_are_plausible(
    seed: int, bucket: str, day: date, second: float, denominator: Denominator
) -> None:
    """At any time all six public nodes have values in plausible ranges."""
    now = day_to_unix(day) + second
    nodes = World(seed, denominator=denominator).stats(bucket, day, now)
    assert [node.ip for node in nodes] == [machine.ip for machine in PUBLIC_MACHINES]
    for node in nodes:
        assert node.status in {"ONLINE", "OFFLINE", "DISCONNECTED"}
        assert 0 <= node.uptime_percent <= 100
        assert 3 <= now - node.last_updated <= 49
        assert unix_to_day(node.last_updated) == day
        for latency in (node.latency_average, node.latency_last):
            assert latency is None or 10 < latency < 200


@given(seed=seeds, bucket=buckets, day=days, second=seconds)
def test_equal_worlds_agree(seed: int, bucket: str, day: date, second: float) -> None:
    """Two worlds with the same seed have the same data."""
    now = day_to_unix(day) + second
    assert World(seed).stats(bucket, day, now) == World(seed).stats(bucket, day, now)


@given(seed=seeds, day=days, later=st.floats(min_value=0, max_value=1e9), denominator=denominators)
def test_a_closed_day_is_final(
    seed: int, day: date, later: float, denominator: Denominator
) -> None:
    """After the end of a day, its figures do not change."""
    world = World(seed, denominator=denominator)
    end = day_to_unix(day) + SECONDS_PER_DAY
    nodes = world.stats("b", day, end + later)
    assert nodes == world.stats("b", day, end)
    assert {node.row()["last_updated"] for node in nodes} == {f"{day}T23:59:59Z"}


@given(seed=seeds, day=days)
def test_denominators_agree_on_a_closed_day(seed: int, day: date) -> None:
    """After the end of a day, both denominators give the same uptime."""
    end = day_to_unix(day) + SECONDS_PER_DAY
    whole_day = World(seed, denominator=Denominator.WHOLE_DAY)
    assert World(seed).stats("b", day, end) == whole_day.stats("b", day, end)


@given(seed=seeds, day=days)
def test_uptime_falls_during_an_outage(seed: int, day: date) -> None:
    """As a share of the time elapsed, uptime falls while a node is down."""
    world, noon = node_down(World(seed)), day_to_unix(day) + 12 * HOUR
    before, during, later = (
        world.stats("b", day, noon + 60 * minute)[0].uptime_percent for minute in (9, 15, 20)
    )
    assert before > during > later


@given(seed=seeds, day=days, moments=st.tuples(seconds, seconds))
def test_uptime_of_the_whole_day_never_falls(
    seed: int, day: date, moments: tuple[float, float]
) -> None:
    """As a share of the whole day, uptime never falls."""
    world = node_down(World(seed, denominator=Denominator.WHOLE_DAY))
    earlier, later = (world.stats("b", day, day_to_unix(day) + at) for at in sorted(moments))
    for one, other in zip(earlier, later, strict=True):
        assert one.uptime_percent <= other.uptime_percent


def test_figures_match_what_was_seen_through_the_day() -> None:
    """A day's uptime and average match the statuses and newest latencies during the day."""
    world = node_down(World(3))
    seen = [world.stats("b", DAY, MIDNIGHT + second) for second in range(60, SECONDS_PER_DAY, 89)]
    for final, *samples in zip(world.stats("b", DAY, MIDNIGHT + 2e5), *seen, strict=True):
        online = [node for node in samples if node.status == "ONLINE"]
        latencies = [node.latency_last for node in online if node.latency_last is not None]
        assert final.uptime_percent == pytest.approx(100 * len(online) / len(samples), abs=0.5)
        assert final.latency_average == pytest.approx(fmean(latencies), rel=0.01)


@given(seed=seeds, one=buckets, other=buckets, second=seconds)
def test_a_machine_is_the_same_for_all_buckets(
    seed: int, one: str, other: str, second: float
) -> None:
    """A machine has the same status, version and uptime in all buckets."""
    world = World(seed)
    for mine, theirs in zip(
        world.stats(one, DAY, MIDNIGHT + second),
        world.stats(other, DAY, MIDNIGHT + second),
        strict=True,
    ):
        assert mine.status == theirs.status
        assert mine.version == theirs.version
        assert mine.uptime_percent == theirs.uptime_percent


def test_latency_differs_by_bucket_seed_region_and_hour() -> None:
    """Latency depends on the bucket, the seed, the node and the time."""
    noon = MIDNIGHT + 12 * HOUR
    nodes = by_host(World(1).stats("a", DAY, noon))
    latencies = {node.latency_last for node in nodes.values()}
    assert len(latencies) == 6
    assert World(1).stats("b", DAY, noon) != World(1).stats("a", DAY, noon)
    assert World(2).stats("a", DAY, noon) != World(1).stats("a", DAY, noon)
    assert World(1).stats("a", DAY, noon + HOUR) != World(1).stats("a", DAY, noon)


def test_nodes_fail_now_and_then() -> None:
    """In two months each node is OFFLINE and DISCONNECTED at times, but mostly ONLINE."""
    statuses: Counter[tuple[str, str]] = Counter()
    for half_hour in range(60 * 48):
        now = MIDNIGHT + 120 + half_hour * 1800
        statuses.update(
            (node.host, node.status) for node in World(5).stats("b", unix_to_day(now), now)
        )
    for machine in PUBLIC_MACHINES:
        assert statuses[machine.host, "ONLINE"] > 0.98 * 60 * 48
        assert statuses[machine.host, "OFFLINE"] > 0
        assert statuses[machine.host, "DISCONNECTED"] > 0


def test_a_node_down_all_day_has_no_latency() -> None:
    """A node that was down the whole day has an uptime of 0 and no latencies."""
    world = World(1, events=(HourlyEvent("azure", 0, 60, status="OFFLINE"),))
    nodes = by_host(world.stats("b", DAY, MIDNIGHT + HOUR))
    down = nodes["*-us-east-1-azure.flashback.tech"]
    assert down.uptime_percent == 0
    assert down.latency_average is None
    assert down.latency_last is None


def test_a_node_that_went_down_keeps_its_newest_latency() -> None:
    """The newest latency of a node that is down is from before it went down."""
    world = node_down(World(1))
    early, late = (world.stats("b", DAY, MIDNIGHT + HOUR + 60 * minute)[0] for minute in (12, 19))
    assert early.status == late.status == "OFFLINE"
    assert early.latency_last == late.latency_last is not None


def test_a_new_day_fills_within_a_minute() -> None:
    """A new day has no nodes at 00:00, and all nodes after a minute."""
    counts = [len(World(1).stats("b", DAY, MIDNIGHT + second)) for second in range(61)]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 6


def test_a_day_to_come_has_no_nodes() -> None:
    """A future day has no nodes."""
    assert World(1).stats("b", DAY + timedelta(days=1), MIDNIGHT + 12 * HOUR) == ()


def test_versions_advance() -> None:
    """Over weeks new versions reach the machines, not all on the same day."""
    mixtures = {
        frozenset(node.version for node in World(1).stats("b", day, MIDNIGHT + 1e9))
        for day in (DAY + timedelta(days=n) for n in range(30))
    }
    assert {len(mixture) for mixture in mixtures} == {1, 2}
    assert len(frozenset().union(*mixtures)) >= 3


@pytest.mark.parametrize("day", [date.min, date(1969, 12, 31), date(9999, 12, 30)])
def test_far_days_have_figures(day: date) -> None:
    """The first and the last days of the calendar have figures too."""
    row = World(1).stats("b", day, day_to_unix(day) + 2.0 * SECONDS_PER_DAY)[0].row()
    assert row["last_updated"] == f"{day}T23:59:59Z"


@pytest.mark.parametrize(
    "machines", [PUBLIC_MACHINES, PUBLIC_MACHINES + PRIVATE_MACHINES + HUNDREDS_OF_MACHINES]
)
def test_an_address_is_a_machine(machines: tuple[object, ...]) -> None:
    """No two machines share an IP address, which is the key of their random draws."""
    assert len({getattr(machine, "ip", None) for machine in machines}) == len(machines)


@given(
    seed=seeds,
    day_number=st.integers(min_value=0, max_value=50_000),
    events=st.lists(
        st.builds(
            HourlyEvent,
            st.sampled_from(["aws", "eu-"]),
            st.integers(0, 29),
            st.integers(30, 60),
            st.sampled_from(["ONLINE", "OFFLINE"]),
            st.floats(1, 9),
        ),
        max_size=3,
    ),
)
def test_stretches_cover_the_day(seed: int, day_number: int, events: list[HourlyEvent]) -> None:
    """The stretches of a day cover it from start to end, in order and without gaps."""
    stretches = day_stretches(seed, PUBLIC_MACHINES[0], day_number, tuple(events))
    assert stretches[0].start == 0
    assert stretches[-1].end == SECONDS_PER_DAY
    assert all(stretch.length > 0 for stretch in stretches)
    for before, after in pairwise(stretches):
        assert before.end == after.start


@given(moment=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))  # noqa: DTZ001 - bounds are naive by hypothesis's own rule
def test_days_and_moments_translate(moment: datetime) -> None:
    """A Unix time is converted to its UTC day, and a day to its start."""
    unix = moment.replace(tzinfo=UTC).timestamp()
    assert unix_to_day(unix) == moment.date()
    assert day_to_unix(moment.date()) <= unix < day_to_unix(moment.date()) + SECONDS_PER_DAY
