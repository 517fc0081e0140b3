"""Log events about buckets and discovery."""

from __future__ import annotations

from structlog.testing import capture_logs

from exporter.logs import PERIOD
from exporter.model import ApiError, BucketState, Instant, PollResult, Reason, Timing
from exporter.polling.event_log import LINES_PER_PERIOD, EventLogger, log_discovery
from exporter.upstream.discovery import DiscoveryState, FoundBucket, ListResponse
from tests.harness.fakes import NOON, FakeClock, after, bucket, failure, reading

START = Instant(NOON, 1000.0)
LATER = after(START, 60)


def logged(*results: PollResult) -> list[tuple[str, str | None]]:
    """The events that a series of polls logs, with their reasons."""
    state, event_logger = BucketState(START), EventLogger(FakeClock())
    with capture_logs() as events:
        for result in results:
            following = state.after(result, Timing())
            event_logger.log_transition(bucket(), state, following)
            state = following
    return [(event["event"], event.get("reason")) for event in events]


def test_each_transition_is_logged_once() -> None:
    """Failure, a changed reason and recovery are logged once each; an unchanged state is not."""
    assert logged(
        reading(START),
        reading(LATER),
        failure(LATER),
        failure(LATER),
        failure(LATER, Reason.FORBIDDEN),
        reading(LATER),
        reading(LATER),
    ) == [
        ("bucket_failing", "timeout"),
        ("bucket_failing", "forbidden"),
        ("bucket_recovered", None),
    ]


def test_failure_event_says_which_bucket_and_why() -> None:
    """The event contains the bucket, the reason and the error message."""
    with capture_logs() as events:
        state = BucketState(START)
        after_poll = state.after(failure(START), Timing())
        EventLogger(FakeClock()).log_transition(bucket("b7"), state, after_poll)
    assert events == [
        {
            "event": "bucket_failing",
            "log_level": "warning",
            "bucket_id": "b7",
            "name": "name of b7",
            "account": "main",
            "reason": "timeout",
            "message": "because of timeout",
        }
    ]


async def test_rate_is_bounded_however_much_burns() -> None:
    """Out of thousands of events, a hundred per minute are logged and the rest are counted."""
    clock = FakeClock()
    event_logger, state = EventLogger(clock), BucketState(START)
    failed = state.after(failure(START), Timing())
    with capture_logs() as events:
        for number in range(5000):
            event_logger.log_transition(bucket(f"b{number}"), state, failed)
        await clock.advance(PERIOD)
        event_logger.log_transition(bucket(), failed, failed.after(reading(START), Timing()))
    names = [event["event"] for event in events]
    assert names.count("bucket_failing") == LINES_PER_PERIOD
    assert names[LINES_PER_PERIOD:] == [
        "bucket_events_are_left_out",
        "bucket_events_left_out",
        "bucket_recovered",
    ]
    assert events[-2]["count"] == 5000 - LINES_PER_PERIOD


def test_listing_events() -> None:
    """Discovery logs a failure, a changed reason, a recovery and a changed number of buckets."""
    found = FoundBucket("b1", "b1", "", "", "")
    down, refused = ApiError(Reason.CONNECT, "down"), ApiError(Reason.FORBIDDEN, "no")
    discovery_state = DiscoveryState()
    with capture_logs() as events:
        good, empty = ListResponse((found,)), ListResponse(())
        for result in (down, down, refused, good, good, empty, empty):
            following = discovery_state.after(result, START)
            log_discovery("main", discovery_state, following, len(following.found))
            discovery_state = following
    assert [(event["event"], event.get("reason", event.get("found"))) for event in events] == [
        ("discovery_failing", "connect"),
        ("discovery_failing", "forbidden"),
        ("discovery_recovered", None),
        ("buckets_discovered", 1),
        ("buckets_discovered", 0),
    ]


def test_entries_that_are_skipped_are_logged_once() -> None:
    """Skipped entries are logged again only after a list response without skipped entries."""
    found = FoundBucket("b1", "b1", "", "", "")
    down, discovery_state = ApiError(Reason.CONNECT, "down"), DiscoveryState()
    with capture_logs() as events:
        for result in (
            ListResponse((found,), skipped=2),
            ListResponse((found,), skipped=3),
            down,
            ListResponse((found,), skipped=1),
            ListResponse((found,)),
            ListResponse((found,), skipped=4),
        ):
            following = discovery_state.after(result, START)
            log_discovery("main", discovery_state, following, len(following.found))
            discovery_state = following
    skipped = [event for event in events if event["event"] == "listing_entries_skipped"]
    assert [(event["account"], event["count"]) for event in skipped] == [("main", 2), ("main", 4)]
    assert {event["log_level"] for event in skipped} == {"warning"}
