"""The one shared mutable thing: each bucket's state and its ready-made text, replaced whole.

Written by polls as they end, read by scrapes. It judges nothing itself: what a state means is the
model's business, how it looks the exposition's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from exporter.exposition import BucketText, bucket_text, page
from exporter.model import Bucket, BucketKey, BucketState, Instant, Outcome, Timing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


KEPT_PAGE = 2 * 2**20
"""A page of at most so many bytes is kept until something changes: two scrapers, one rendering."""


class _Page(NamedTuple):
    """A whole page, and the span of monotonic time in which it looks like this."""

    text: bytes
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A bucket with its state and its text."""

    bucket: Bucket
    timing: Timing
    state: BucketState
    text: BucketText


class Store:
    """What is known of every bucket, in the order in which they are held."""

    def __init__(self) -> None:
        self._known_statuses: tuple[str, ...] = ()
        self._entries: dict[BucketKey, Entry] = {}
        self._changes = 0
        self._kept: _Page | None = None
        self.unpolled: set[BucketKey] = set()
        """The buckets of which no poll has ended yet."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def hold(
        self,
        buckets: Iterable[tuple[Bucket, Timing]],
        known_statuses: tuple[str, ...],
        now: Instant,
    ) -> None:
        """Hold exactly these buckets: what is known of each stays, what is new is unknown."""
        same_statuses = known_statuses == self._known_statuses
        self._known_statuses = known_statuses
        entries = {}
        for bucket, timing in buckets:
            entry = self._entries.get(bucket.key)
            if entry is None:
                entry = self._entry(bucket, timing, BucketState(known_since=now))
            elif not same_statuses or (entry.bucket, entry.timing) != (bucket, timing):
                entry = self._entry(bucket, timing, entry.state)
            entries[bucket.key] = entry
        self._entries = entries
        self._changed()
        self.unpolled = {key for key, entry in entries.items() if entry.state.newest is None}

    def forget(self, account: str) -> None:
        """Drop all that is known of an account's buckets."""
        self._entries = {
            key: entry for key, entry in self._entries.items() if key.account != account
        }
        self._changed()

    def record(self, key: BucketKey, outcome: Outcome) -> tuple[BucketState, BucketState]:
        """Take in how a poll of a bucket ended; the states before and after it."""
        entry = self._entries[key]
        state = entry.state.after(outcome, entry.timing)
        self._entries[key] = self._entry(entry.bucket, entry.timing, state)
        self._changed()
        self.unpolled.discard(key)
        return entry.state, state

    def page(self, monotonic: float) -> Iterator[bytes]:
        """Every sample that may be shown at a moment."""
        kept = self._kept
        if kept is not None and kept.since <= monotonic < kept.until:
            return iter((kept.text,))
        return self._page(monotonic)

    def _page(self, monotonic: float) -> Iterator[bytes]:
        """Make the page, and keep it if it is small and nothing changes meanwhile."""
        texts = [entry.text for entry in self]
        changes, size = self._changes, 0
        chunks: list[bytes] = []
        for chunk in page(texts, monotonic):
            size += len(chunk)
            if size <= KEPT_PAGE:
                chunks.append(chunk)
            else:
                chunks.clear()
            yield chunk
        if size <= KEPT_PAGE and changes == self._changes:
            ends = (text.fresh_until for text in texts if monotonic < text.fresh_until)
            self._kept = _Page(b"".join(chunks), monotonic, min(ends, default=math.inf))

    def _changed(self) -> None:
        self._changes += 1
        self._kept = None

    def _entry(self, bucket: Bucket, timing: Timing, state: BucketState) -> Entry:
        text = bucket_text(bucket, state, timing, self._known_statuses)
        return Entry(bucket, timing, state, text)
