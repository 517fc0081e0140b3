"""The failures of a backfill, as JSON and as text."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from datetime import date, timedelta

from exporter.backfill.failures import LISTED, FailedBucket, Failures
from exporter.model import ApiError, Reason

DAY = date(2024, 1, 1)
FAULT = ApiError(Reason.TIMEOUT, 'no "answer"')


def test_every_failure_is_in_the_array() -> None:
    """Every failure is in the JSON array, even if the run is interrupted."""
    failures, stream = Failures(), io.StringIO()
    failures.note(FailedBucket("early", None, None, FAULT))
    with suppress(KeyboardInterrupt), failures.written_to(stream):
        failures.note(FailedBucket("main", None, None, FAULT))
        failures.note(FailedBucket("main", "b1", DAY, FAULT))
        raise KeyboardInterrupt
    entry = {"account": "main", "reason": "timeout", "message": 'no "answer"'}
    assert json.loads(stream.getvalue()) == [
        {"day": None, "bucket": None, **entry},
        {"day": "2024-01-01", "bucket": "b1", **entry},
    ]


def test_people_see_a_line_per_bucket_and_reason() -> None:
    """The text has one line per bucket and reason, with a count of days, and a limit on lines."""
    failures = Failures()
    for number in range(LISTED + 5):
        for day in range(3):
            failures.note(FailedBucket("main", f"b{number}", DAY + timedelta(days=day), FAULT))
    lines = list(failures.lines())
    assert lines[0] == 'main: b0 on 3 days from 2024-01-01 to 2024-01-03: timeout: no "answer"'
    assert len(lines) == LISTED + 1
    assert lines[-1] == "and 15 more"
    assert failures.count == (LISTED + 5) * 3


def test_single_day_and_listing_read_well() -> None:
    """A single day is named, and a discovery failure has no day."""
    failures = Failures()
    failures.note(FailedBucket("main", "b1", DAY, FAULT))
    failures.note(FailedBucket("main", None, None, FAULT))
    assert list(failures.lines()) == [
        'main: b1 on 2024-01-01: timeout: no "answer"',
        'main: bucket discovery: timeout: no "answer"',
    ]
