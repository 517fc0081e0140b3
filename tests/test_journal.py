"""What is said of buckets in the log."""

from __future__ import annotations

from structlog.testing import capture_logs

from exporter.journal import note_transition
from exporter.model import BucketState, Instant, Outcome, Reason, Timing
from tests.fakes import NOON, after, bucket, failure, reading

START = Instant(NOON, 1000.0)
LATER = after(START, 60)


def logged(*outcomes: Outcome) -> list[tuple[str, str | None]]:
    """The events that a run of polls leaves, with their reasons."""
    state = BucketState(START)
    with capture_logs() as events:
        for outcome in outcomes:
            following = state.after(outcome, Timing())
            note_transition(bucket(), state, following)
            state = following
    return [(event["event"], event.get("reason")) for event in events]


def test_each_transition_is_logged_once() -> None:
    """Failing, another reason and recovery are events; going on as before is none."""
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
    """The event names the bucket and carries the server's message."""
    with capture_logs() as events:
        state = BucketState(START)
        note_transition(bucket("b7"), state, state.after(failure(START), Timing()))
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
