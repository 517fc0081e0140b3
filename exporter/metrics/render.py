"""The rendering of the metric table: a bucket's text is made once, when its poll ends.

One fragment per family, fresh and stale; a scrape only joins fragments (`render_page`). The figures
of the previous day are made when they come, and age by a time of their own. A gauge's lines are the
same bytes in the text format 0.0.4 and in OpenMetrics 1.0.
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
"""How many buckets' lines are joined at a time: enough to be quick, few enough to send at once."""

CHUNK_BYTES = 2**20
"""They are not joined where they would make more than this, as with very many nodes in each."""


_NOTHING_KEPT = (None,) * len(FAMILIES)


@dataclass(frozen=True, slots=True)
class RenderedBucket:
    """A bucket's fragments, in the order of FAMILIES, for both sides of a moment."""

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
    """The exposition of one bucket.

    `before`: its text so far, if only figures and times have changed since.
    """
    statuses = tuple(dict.fromkeys([*known_statuses, UNKNOWN_STATUS]))
    view, later = (RenderContext(bucket, state, statuses, fresh=fresh) for fresh in (True, False))
    kept = _NOTHING_KEPT if before is None else before.fresh
    fresh = [
        family.lines(view).encode() if text is None or family.has_figures else text
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
    """The fragments of a previous day's figures, in the order of PREVIOUS_DAY."""

    fragments: tuple[bytes, ...] = (b"",) * len(PREVIOUS_DAY)
    shown_until: float = math.inf  # monotonic seconds

    def at(self, monotonic: float) -> tuple[bytes, ...]:
        return self.fragments if monotonic < self.shown_until else NO_PREVIOUS_DAY.fragments


NO_PREVIOUS_DAY = RenderedPreviousDay()


def previous_day_fragments(bucket: Bucket, state: BucketState) -> tuple[bytes, ...]:
    """The exposition of the previous day that a bucket's state holds."""
    view = RenderContext(bucket, replace(state, stats=state.previous_day), (), fresh=True)
    return tuple(family.lines(view).encode() for family in PREVIOUS_DAY)


def render_page(
    texts: Sequence[RenderedBucket], previous_days: Sequence[RenderedPreviousDay], monotonic: float
) -> Iterator[bytes]:
    """All buckets' samples at a moment, family by family, in pieces made while they are read."""
    for fragments in _columns(texts, previous_days, monotonic):
        # Looked up by and by: ten thousand buckets' fragments lie far apart in memory.
        while some := tuple(islice(fragments, BUCKETS_PER_CHUNK)):
            if sum(map(len, some)) <= CHUNK_BYTES:
                yield b"".join(some)
            else:
                yield from some


def _columns(
    texts: Sequence[RenderedBucket], previous_days: Sequence[RenderedPreviousDay], monotonic: float
) -> Iterator[Iterator[bytes]]:
    """Of each family its header, and each bucket's fragment."""
    for families, aging in ((FAMILIES, texts), (PREVIOUS_DAY, previous_days)):
        shown = [text.at(monotonic) for text in aging]
        for position, family in enumerate(families):
            yield chain((family.header,), map(itemgetter(position), shown))
