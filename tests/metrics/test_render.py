"""The metrics of buckets and nodes, rendered as text."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from exporter.metrics.families import FAMILIES, METRICS
from exporter.metrics.render import (
    BUCKETS_PER_CHUNK,
    CHUNK_BYTES,
    RenderedBucket,
    RenderedPreviousDay,
    previous_day_fragments,
    render_bucket,
    render_page,
)
from exporter.model import Bucket, BucketState, DayStats, Instant, PollResult, Reason, Timing
from tests.harness.fakes import MIDNIGHT, NOON, after, bucket, failure, node, reading

TIMING = Timing()
START = Instant(NOON, 1000.0)
KNOWN = ("ONLINE", "OFFLINE")
NODE = node(
    "h1",
    version="1.2.3",
    status="ONLINE",
    uptime_ratio=0.995,
    latency_average_seconds=0.045,
    latency_last_seconds=0.042,
    last_updated=1705314600.0,
)


PREVIOUS_DAY = RenderedPreviousDay(
    previous_day_fragments(
        bucket(),
        BucketState(
            START,
            previous_day=DayStats(
                START.day, (node("h1", uptime_ratio=0.75, latency_average_seconds=0.045),)
            ),
        ),
    ),
    exposed_until=START.monotonic + 1e6,
)


def text_of(*outcomes: PollResult, of: Bucket | None = None) -> RenderedBucket:
    """The rendered text of a bucket after polls with these results."""
    state = BucketState(START)
    for outcome in outcomes:
        state = state.after(outcome, TIMING)
    return render_bucket(of or bucket(), state, TIMING, KNOWN)


def shown(texts: Sequence[RenderedBucket], monotonic: float = START.monotonic) -> str:
    """The page at a monotonic time."""
    return b"".join(render_page(texts, [PREVIOUS_DAY], monotonic)).decode()


def samples(text: str) -> list[str]:
    """The lines that are not headers."""
    return [line for line in text.splitlines() if not line.startswith("#")]


def polled(text: str) -> list[str]:
    """The node samples without those of the previous day."""
    return [
        line
        for line in samples(text)
        if line.startswith("flashback_node") and "_previous_day_" not in line
    ]


LABELS = 'bucket_id="b1",ip="192.0.2.1",host="h1"'
GOLDEN = {
    "flashback_node_uptime_ratio": [f"{{{LABELS}}} 0.995"],
    "flashback_node_latency_average_seconds": [f"{{{LABELS}}} 0.045"],
    "flashback_node_latency_last_seconds": [f"{{{LABELS}}} 0.042"],
    "flashback_node_status": [
        f'{{{LABELS},status="ONLINE"}} 1',
        f'{{{LABELS},status="OFFLINE"}} 0',
        f'{{{LABELS},status="UNKNOWN"}} 0',
    ],
    "flashback_node_last_updated_timestamp_seconds": [f"{{{LABELS}}} 1705314600.0"],
    "flashback_node_info": [f'{{{LABELS},version="1.2.3"}} 1'],
    "flashback_bucket_up": ['{bucket_id="b1"} 1'],
    "flashback_bucket_failing": [],
    "flashback_bucket_nodes": ['{bucket_id="b1"} 1'],
    "flashback_bucket_stats_day_timestamp_seconds": ['{bucket_id="b1"} 1705276800.0'],
    "flashback_bucket_last_success_timestamp_seconds": ['{bucket_id="b1"} 1705320000.0'],
    "flashback_bucket_poll_duration_seconds": ['{bucket_id="b1"} 0.25'],
    "flashback_bucket_info": [
        (
            '{bucket_id="b1",name="name of b1",account="main",team="media",'
            'storage_type="",region="",workspace_id=""} 1'
        )
    ],
    "flashback_node_uptime_previous_day_ratio": [f"{{{LABELS}}} 0.75"],
    "flashback_node_latency_average_previous_day_seconds": [f"{{{LABELS}}} 0.045"],
}


@pytest.mark.parametrize("name", [family.name for family in METRICS])
def test_golden_text_of_each_family(name: str) -> None:
    """After a successful poll, each metric has exactly its golden text."""
    text = shown([text_of(reading(START, NODE), of=bucket(team="media"))])
    expected = [name + line for line in GOLDEN[name]]
    assert [line for line in samples(text) if line.split("{")[0] == name] == expected


def test_families_are_whole_and_have_headers() -> None:
    """Each family has one TYPE, one HELP that says that it is polled, and contiguous samples."""
    text = shown([text_of(reading(START, NODE)), text_of(failure(START), of=bucket("b2"))])
    for family in METRICS:
        header = f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n"
        assert text.count(header) == 1
        assert "Polled in the background" in family.help
    names = [line.split("{")[0] for line in samples(text)]
    assert names == sorted(names, key=[family.name for family in METRICS].index)


def test_status_outside_the_known_ones_is_unknown() -> None:
    """Exactly one status is 1, which is UNKNOWN if the API sends any other string."""
    text = shown([text_of(reading(START, node(status="ERROR")))])
    found = {
        line[-2:] + line.split('status="')[1].split('"')[0]
        for line in text.splitlines()
        if line.startswith("flashback_node_status{")
    }
    assert found == {" 0ONLINE", " 0OFFLINE", " 1UNKNOWN"}


def test_values_that_are_absent_have_no_sample() -> None:
    """A node without values has no samples, rather than zeros."""
    text = shown([text_of(reading(START, node()))])
    assert not polled(text)
    assert 'flashback_bucket_nodes{bucket_id="b1"} 1\n' in text


def test_failure_shows_its_reason_and_keeps_fresh_readings() -> None:
    """A bucket whose last poll failed is down with the reason, and keeps its node samples."""
    text = shown([text_of(reading(START, NODE), failure(after(START, 60), Reason.FORBIDDEN))])
    assert 'flashback_bucket_up{bucket_id="b1"} 0\n' in text
    assert 'flashback_bucket_failing{bucket_id="b1",reason="forbidden"} 1\n' in text
    assert f"flashback_node_uptime_ratio{{{LABELS}}} 0.995\n" in text


def test_stale_readings_vanish_at_scrape_time() -> None:
    """Without another poll, node samples disappear after stale_after; the bucket is overdue."""
    text = text_of(reading(START, NODE))
    end = START.monotonic + TIMING.stale_after
    assert shown([text], end - 0.001) == shown([text])
    gone = {line.split("{")[0] for line in samples(shown([text]))} - {
        line.split("{")[0] for line in samples(shown([text], end))
    }
    assert gone == {
        family.name for family in FAMILIES if family.name.startswith("flashback_node")
    } | {
        "flashback_bucket_nodes",
        "flashback_bucket_stats_day_timestamp_seconds",
    }
    assert 'flashback_bucket_up{bucket_id="b1"} 0\n' in shown([text], end)
    assert 'flashback_bucket_failing{bucket_id="b1",reason="overdue"} 1\n' in shown([text], end)
    assert 'flashback_bucket_last_success_timestamp_seconds{bucket_id="b1"}' in shown([text], end)


def test_failing_and_stale_keeps_the_reason() -> None:
    """A bucket that failed until it was stale shows why it failed, not that it is overdue."""
    text = text_of(reading(START, NODE), failure(after(START, 60)))
    stale = shown([text], START.monotonic + TIMING.stale_after)
    assert 'reason="timeout"} 1\n' in stale
    assert "overdue" not in stale


def test_bucket_that_was_never_polled_claims_nothing() -> None:
    """A bucket that was not polled has only its info, and is overdue after stale_after."""
    text = text_of()
    names = [line.split("{")[0] for line in samples(shown([text]))]
    assert [name for name in names if "_previous_day_" not in name] == ["flashback_bucket_info"]
    overdue = shown([text], START.monotonic + TIMING.stale_after)
    assert 'flashback_bucket_failing{bucket_id="b1",reason="overdue"} 1\n' in overdue
    assert 'flashback_bucket_up{bucket_id="b1"} 0\n' in overdue


def test_stats_day_is_that_of_the_reading_shown() -> None:
    """While yesterday's reading is kept over midnight, its day is yesterday's."""
    late = Instant(MIDNIGHT - 30, 1000.0)
    text = text_of(reading(late, NODE), reading(after(late, 60)))
    line = f'flashback_bucket_stats_day_timestamp_seconds{{bucket_id="b1"}} {MIDNIGHT - 86400}\n'
    assert line in shown([text])


@pytest.mark.parametrize("count", [0, 1, 2 * BUCKETS_PER_CHUNK + 1])
def test_page_is_made_in_pieces(count: int) -> None:
    """A page has all buckets, and none of its pieces has more than BUCKETS_PER_CHUNK."""
    texts = [text_of(reading(START), of=bucket(f"b{number}")) for number in range(count)]
    pieces = list(render_page(texts, [PREVIOUS_DAY] * count, START.monotonic))
    whole = b"".join(pieces).decode()
    assert sum(line.startswith("flashback_bucket_up{") for line in samples(whole)) == count
    assert max(piece.count(b"flashback_bucket_up{") for piece in pieces) <= BUCKETS_PER_CHUNK


def test_pieces_of_buckets_with_many_nodes_are_small() -> None:
    """If buckets have many nodes, no piece of the page is larger than CHUNK_BYTES."""
    nodes = [node(f"n{number}", uptime_ratio=1.0) for number in range(200)]
    text = text_of(reading(START, *nodes))
    pieces = list(render_page([text] * 250, [PREVIOUS_DAY] * 250, START.monotonic))
    assert sum(map(len, pieces)) > 3 * CHUNK_BYTES
    assert max(map(len, pieces)) <= CHUNK_BYTES


LABEL_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(LABEL_TEXT, LABEL_TEXT, LABEL_TEXT, LABEL_TEXT)
def test_label_values_survive_both_formats(
    bucket_id: str, host: str, version: str, status: str
) -> None:
    """Any label value, escaped and parsed again by the client library, is the same value."""
    found = node(host, version=version, status="ONLINE")
    text = render_bucket(
        bucket(bucket_id),
        BucketState(START).after(reading(START, found), TIMING),
        TIMING,
        [status, "ONLINE"],
    )
    exposition = shown([text])
    openmetrics = openmetrics_families(  # type: ignore[no-untyped-call] # the library's
        exposition + "# EOF\n"
    )
    for families in (text_families(exposition), openmetrics):
        by_name = {family.name: family.samples for family in families}
        (info,) = by_name["flashback_node_info"]
        assert info.labels["version"] == version
        assert (info.labels["bucket_id"], info.labels["host"]) == (bucket_id, host)
        statuses = [each.labels["status"] for each in by_name["flashback_node_status"]]
        assert statuses == list(dict.fromkeys([status, "ONLINE", "UNKNOWN"]))
