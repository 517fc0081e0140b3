"""The one shared mutable thing: each bucket's state and its ready-made text, replaced whole.

Written by polls as they end, read by scrapes. It judges nothing itself: what a state means is the
model's business, how it looks the exposition's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.exposition import BucketText, bucket_text, page
from exporter.model import Bucket, BucketKey, BucketState, Instant, Outcome, Timing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Entry:
    """A bucket with its state and its text."""

    bucket: Bucket
    timing: Timing
    state: BucketState
    text: BucketText


class Store:
    """What is known of every bucket, in the order in which they were added."""

    def __init__(self, known_statuses: Sequence[str]) -> None:
        self._known_statuses = known_statuses
        self._entries: dict[BucketKey, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def add(self, bucket: Bucket, timing: Timing, now: Instant) -> None:
        """Hold a bucket of which nothing is known yet."""
        self._put(bucket, timing, BucketState(known_since=now))

    def record(self, bucket: Bucket, outcome: Outcome) -> tuple[BucketState, BucketState]:
        """Take in how a poll of a bucket ended; the states before and after it."""
        entry = self._entries[bucket.key]
        state = entry.state.after(outcome, entry.timing)
        self._put(entry.bucket, entry.timing, state)
        return entry.state, state

    def page(self, monotonic: float) -> Iterator[bytes]:
        """Every sample that may be shown at a moment."""
        return page([entry.text for entry in self], monotonic)

    def _put(self, bucket: Bucket, timing: Timing, state: BucketState) -> None:
        text = bucket_text(bucket, state, timing, self._known_statuses)
        self._entries[bucket.key] = Entry(bucket, timing, state, text)
