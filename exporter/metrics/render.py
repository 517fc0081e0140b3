"""Renders a bucket's metrics to text once, when its poll ends; a scrape only joins the texts.

Each family has two fragments: one for fresh values and one for stale ones. The previous day's
fragments are rendered when its values arrive, and have their own end time. The lines of a gauge are
identical in the text format 0.0.4 and in OpenMetrics 1.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from operator import itemgetter

from exporter.metrics.families import FAMILIES, PREVIOUS_DAY, Family, RenderContext, WhenStale
from exporter.model import UNKNOWN_STATUS, Bucket, BucketState, Timing

BUCKETS_PER_CHUNK = 256
"""Buckets whose fragments are joined at a time: joining is fast, and the chunks stay small."""

CHUNK_BYTES = 2**20
"""If the joined fragments would be larger, as with very many nodes, they are sent one by one."""


_NOTHING_KEPT = (None,) * len(FAMILIES)


@dataclass(frozen=True, slots=True)
class RenderedBucket:
    """A bucket's fragments, in the order of FAMILIES, before and after it becomes stale."""

    fresh: tuple[bytes, ...]
    stale: tuple[bytes, ...]
    fresh_until: float  # monotonic seconds

    def at(self, monotonic: float) -> tuple[bytes, ...]:
        return self.fresh if monotonic < self.fresh_until else self.stale


def render_bucket(
    bucket: Bucket,
    state: BucketState,
    timing: Timing,
    known_statuses: Iterable[str],
    before: RenderedBucket | None = None,
) -> RenderedBucket:
    """Render one bucket.

    `before`: its previous text, given only if nodes, versions and statuses are unchanged.
    """
    statuses = tuple(dict.fromkeys([*known_statuses, UNKNOWN_STATUS]))
    view, later = (RenderContext(bucket, state, statuses, fresh=fresh) for fresh in (True, False))
    kept = _NOTHING_KEPT if before is None else before.fresh
    fresh = [
        family.lines(view).encode() if text is None or family.changes_every_poll else text
        for family, text in zip(FAMILIES, kept, strict=True)
    ]
    stale = [_stale(family, text, later) for family, text in zip(FAMILIES, fresh, strict=True)]
    return RenderedBucket(tuple(fresh), tuple(stale), state.fresh_until(timing))


def _stale(family: Family, fresh: bytes, later: RenderContext) -> bytes:
    if family.when_stale is WhenStale.RERENDER:
        return family.lines(later).encode()
    return fresh if family.when_stale is WhenStale.KEEP else b""


@dataclass(frozen=True, slots=True)
class RenderedPreviousDay:
    """The fragments of the previous day, in the order of PREVIOUS_DAY."""

    fragments: tuple[bytes, ...] = (b"",) * len(PREVIOUS_DAY)
    exposed_until: float = math.inf  # monotonic seconds

    def at(self, monotonic: float) -> tuple[bytes, ...]:
        return self.fragments if monotonic < self.exposed_until else NO_PREVIOUS_DAY.fragments


NO_PREVIOUS_DAY = RenderedPreviousDay()


def previous_day_fragments(bucket: Bucket, state: BucketState) -> tuple[bytes, ...]:
    """Render the previous day that a bucket's state contains."""
    view = RenderContext(bucket, replace(state, stats=state.previous_day), (), fresh=True)
    return tuple(family.lines(view).encode() for family in PREVIOUS_DAY)


def render_page(
    texts: Sequence[RenderedBucket], previous_days: Sequence[RenderedPreviousDay], monotonic: float
) -> Iterator[bytes]:
    """The samples of all buckets at a moment, grouped by family, joined as they are read."""
    for fragments in _columns(texts, previous_days, monotonic):
        # In batches: the fragments of ten thousand buckets are scattered in memory, and collecting
        # all of them at once would block the event loop.
        while some := tuple(islice(fragments, BUCKETS_PER_CHUNK)):
            if sum(map(len, some)) <= CHUNK_BYTES:
                yield b"".join(some)
            else:
                yield from some


def _columns(
    texts: Sequence[RenderedBucket], previous_days: Sequence[RenderedPreviousDay], monotonic: float
) -> Iterator[Iterator[bytes]]:
    """For each family its header and the fragments of all buckets."""
    for families, aging in ((FAMILIES, texts), (PREVIOUS_DAY, previous_days)):
        shown = [text.at(monotonic) for text in aging]
        for position, family in enumerate(families):
            yield chain((family.header,), map(itemgetter(position), shown))
