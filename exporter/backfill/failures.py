"""Records what could not be fetched and why: a JSON file, and a short summary for people.

The file is written during the run, so memory use stays small however much fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, TextIO

from exporter.model import ApiError

LISTED = 20
"""Lines of the summary; the file has the rest."""


class FailedBucket(NamedTuple):
    """A day of a bucket that could not be fetched; without bucket and day, a failed discovery."""

    account: str
    bucket: str | None
    day: date | None
    error: ApiError


@dataclass(slots=True)
class FailureCounts:
    """How often something failed for one reason, with the first failure and the last day."""

    first: FailedBucket
    last: date | None
    times: int = 1


class Failures:
    """The failures of a run, as a JSON array with one failure per line, and as a summary."""

    def __init__(self) -> None:
        self.count = 0
        self._stream: TextIO | None = None
        self._separator = ""
        self._tallies: dict[tuple[str, str | None, str], FailureCounts] = {}
        self._not_listed = 0

    @contextmanager
    def written_to(self, stream: TextIO) -> Iterator[None]:
        """Write failures while the body runs, and close the array at the end."""
        stream.write("[")
        self._stream, self._separator = stream, "\n"
        try:
            yield
        finally:
            self._stream = None
            stream.write("\n]\n")

    def note(self, failure: FailedBucket) -> None:
        if self._stream is not None:
            self._stream.write(self._separator + json.dumps(_entry(failure)))
            self._separator = ",\n"
        self.count += 1
        subject = (failure.account, failure.bucket, failure.error.reason.value)
        tally = self._tallies.get(subject)
        if tally is not None:
            tally.times, tally.last = tally.times + 1, failure.day
        elif len(self._tallies) < LISTED:
            self._tallies[subject] = FailureCounts(failure, failure.day)
        else:
            self._not_listed += 1

    def lines(self) -> Iterator[str]:
        """One line per bucket and reason, up to `LISTED`."""
        for tally in self._tallies.values():
            account, bucket, day, error = tally.first
            what = "bucket discovery" if bucket is None else bucket
            when = "" if day is None else f" on {day}"
            if tally.times > 1:
                when = f" on {tally.times} days from {day} to {tally.last}"
            yield f"{account}: {what}{when}: {error.reason.value}: {error.message}"
        if self._not_listed:
            yield f"and {self._not_listed} more"


def _entry(failure: FailedBucket) -> dict[str, str | None]:
    return {
        "day": None if failure.day is None else str(failure.day),
        "bucket": failure.bucket,
        "account": failure.account,
        "reason": failure.error.reason.value,
        "message": failure.error.message,
    }
