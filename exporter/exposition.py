"""The rendering of the metric table: a bucket's text is made once, when its poll ends.

One fragment per family, fresh and stale; a scrape only joins fragments (`page`). A gauge's lines
are the same bytes in the text format 0.0.4 and in OpenMetrics 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.metrics import FAMILIES, View
from exporter.model import UNKNOWN_STATUS, Bucket, BucketState, Timing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FRAGMENTS_PER_CHUNK = 256
"""How many fragments are joined at a time: enough to be quick, few enough to be sent at once."""


@dataclass(frozen=True, slots=True)
class BucketText:
    """A bucket's fragments, in the order of FAMILIES, for both sides of a moment."""

    fresh: tuple[bytes, ...]
    stale: tuple[bytes, ...]
    fresh_until: float  # monotonic seconds

    def at(self, monotonic: float) -> tuple[bytes, ...]:
        """What may be shown at a moment."""
        return self.fresh if monotonic < self.fresh_until else self.stale


def bucket_text(
    bucket: Bucket, state: BucketState, timing: Timing, known_statuses: Iterable[str]
) -> BucketText:
    """The exposition of one bucket."""
    statuses = tuple(dict.fromkeys([*known_statuses, UNKNOWN_STATUS]))
    view, later = (View(bucket, state, statuses, fresh=fresh) for fresh in (True, False))
    fresh = [family.lines(view).encode() for family in FAMILIES]
    stale = [
        family.lines(later).encode() if family.ages else text
        for family, text in zip(FAMILIES, fresh, strict=True)
    ]
    return BucketText(tuple(fresh), tuple(stale), state.fresh_until(timing))


def page(texts: Iterable[BucketText], monotonic: float) -> Iterator[bytes]:
    """All buckets' samples at a moment, family by family, in chunks."""
    shown = [text.at(monotonic) for text in texts]
    for position, family in enumerate(FAMILIES):
        header = [family.header]
        for start in range(0, len(shown) or 1, FRAGMENTS_PER_CHUNK):
            fragments = [text[position] for text in shown[start : start + FRAGMENTS_PER_CHUNK]]
            yield b"".join(header + fragments)
            header = []
