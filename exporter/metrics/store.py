"""The one shared mutable thing: each bucket's state and its ready-made text, replaced whole.

Written by polls as they end, read by scrapes. It judges nothing itself: what a state means is the
model's business, how it looks the exposition's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import NamedTuple

from exporter.metrics.render import (
    NO_PREVIOUS_DAY,
    RenderedBucket,
    RenderedPreviousDay,
    page_in_chunks,
    previous_day_fragments,
    render_bucket,
    render_page,
)
from exporter.model import Bucket, BucketKey, BucketState, DayStats, Instant, PollResult, Timing

KEPT_PAGE = 2 * 2**20
"""A page of at most so many bytes, headers aside, is made in one go, and kept until it changes."""


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
    text: RenderedBucket
    previous_day: RenderedPreviousDay
    size: int = field(init=False)
    """Bytes that it has on a page, fresh."""

    def __post_init__(self) -> None:
        fragments = chain(self.text.fresh, self.previous_day.fragments)
        object.__setattr__(self, "size", sum(map(len, fragments)))


class Prepared(NamedTuple):
    """What a store is to hold, made ready beside it."""

    known_statuses: tuple[str, ...]
    entries: list[tuple[Entry | None, Entry]]  # as each was, and as it is to be


class MetricsStore:
    """What is known of every bucket, in the order in which they are held."""

    def __init__(self) -> None:
        self._known_statuses: tuple[str, ...] = ()
        self._entries: dict[BucketKey, Entry] = {}
        self._size = 0
        """Bytes that all entries have on a page, fresh."""
        self._kept: _Page | None = None
        self.unpolled: set[BucketKey] = set()
        """The buckets of which no poll has ended yet."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def sync(
        self,
        buckets: Iterable[tuple[Bucket, Timing]],
        known_statuses: tuple[str, ...],
        now: Instant,
    ) -> None:
        """Hold exactly these buckets: what is known of each stays, what is new is unknown."""
        self.commit(self.prepare(buckets, known_statuses, now), now)

    def prepare(
        self,
        buckets: Iterable[tuple[Bucket, Timing]],
        known_statuses: tuple[str, ...],
        now: Instant,
        forgotten: Collection[str] = (),
    ) -> Prepared:
        """What `take_in` is to hold, once all of the `forgotten` accounts is forgotten.

        Changes nothing, so another thread may take its time for it.
        """
        same_statuses = known_statuses == self._known_statuses
        entries: list[tuple[Entry | None, Entry]] = []
        for bucket, timing in buckets:
            held = None if bucket.account in forgotten else self._entries.get(bucket.key)
            if held and same_statuses and (held.bucket, held.timing) == (bucket, timing):
                entries.append((held, held))
            else:
                entries.append((held, _renewed(held, bucket, timing, known_statuses, now)))
        return Prepared(known_statuses, entries)

    def commit(self, prepared: Prepared, now: Instant) -> None:
        """Hold exactly what was prepared, with all that has become known since."""
        self._known_statuses = prepared.known_statuses
        entries = {}
        for before, made in prepared.entries:
            key = made.bucket.key
            held = self._entries.get(key)
            entries[key] = (
                made
                if held is before
                else _renewed(held, made.bucket, made.timing, prepared.known_statuses, now)
            )
        self._replace_all(entries)
        self.unpolled = {key for key, entry in entries.items() if entry.state.newest is None}

    def drop_account(self, account: str) -> None:
        """Drop all that is known of an account's buckets."""
        self._replace_all(
            {key: entry for key, entry in self._entries.items() if key.account != account}
        )

    def record(self, key: BucketKey, outcome: PollResult) -> tuple[BucketState, BucketState]:
        """Take in how a poll of a bucket ended; the states before and after it."""
        entry = self._entries[key]
        state = entry.state.after(outcome, entry.timing)
        same = state.stats is not None and state.stats.says_the_same_of_nodes(entry.state.stats)
        after = _entry(
            entry.bucket,
            entry.timing,
            state,
            self._known_statuses,
            outcome.ended,
            previous_day=entry.previous_day,
            before=entry.text if same else None,
        )
        self._replace(key, after)
        self.unpolled.discard(key)
        return entry.state, state

    def record_previous_day(self, key: BucketKey, stats: DayStats, now: Instant) -> None:
        """Take in the final figures of a previous day of a bucket, in place of an older one's."""
        entry = self._entries[key]
        state = replace(entry.state, previous_day=stats)
        until = state.previous_day_until(entry.timing, now)
        previous_day = RenderedPreviousDay(previous_day_fragments(entry.bucket, state), until)
        self._replace(key, replace(entry, state=state, previous_day=previous_day))

    def timing(self, key: BucketKey) -> Timing:
        """What counts for a bucket that is held."""
        return self._entries[key].timing

    def render(self, monotonic: float) -> Iterator[bytes]:
        """Every sample that may be shown at a moment."""
        kept = self._kept
        if kept is not None and kept.since <= monotonic < kept.until:
            return iter((kept.text,))
        texts = [entry.text for entry in self]
        previous_days = [entry.previous_day for entry in self]
        if self._size > KEPT_PAGE:
            return page_in_chunks(texts, previous_days, monotonic)
        text = render_page(texts, previous_days, monotonic)
        ends = [each.fresh_until for each in texts]
        ends += [each.shown_until for each in previous_days]
        until = min((end for end in ends if monotonic < end), default=math.inf)
        self._kept = _Page(text, monotonic, until)
        return iter((text,))

    def _replace(self, key: BucketKey, entry: Entry) -> None:
        self._size += entry.size - self._entries[key].size
        self._entries[key] = entry
        self._kept = None

    def _replace_all(self, entries: dict[BucketKey, Entry]) -> None:
        self._size = sum(entry.size for entry in entries.values())
        self._entries = entries
        self._kept = None


def _renewed(
    held: Entry | None,
    bucket: Bucket,
    timing: Timing,
    known_statuses: tuple[str, ...],
    now: Instant,
) -> Entry:
    """The entry of a bucket under other settings; of a new one nothing is known."""
    if held is None:
        return _entry(bucket, timing, BucketState(known_since=now), known_statuses, now)
    return _entry(bucket, timing, held.state, known_statuses, now, previous_day=held.previous_day)


def _entry(
    bucket: Bucket,
    timing: Timing,
    state: BucketState,
    known_statuses: tuple[str, ...],
    now: Instant,
    *,
    previous_day: RenderedPreviousDay = NO_PREVIOUS_DAY,
    before: RenderedBucket | None = None,
) -> Entry:
    """The entry of a state; its previous day's text stays, its end is told by the clocks anew."""
    text = render_bucket(bucket, state, timing, known_statuses, before)
    until = state.previous_day_until(timing, now)
    return Entry(bucket, timing, state, text, RenderedPreviousDay(previous_day.fragments, until))
