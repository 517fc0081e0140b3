"""Checks that counters and histograms never decrease, and count no more than was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.truth.pages import Page, Series
from tests.truth.recorder import AnswerRecorder

UNDER_WAY = 20.0
"""Responses that may have been counted before the recorder notes them."""

GROWING = {"counter": ("", "_total"), "histogram": ("_bucket", "_count", "_sum")}


class GrowingCounters:
    """Compares counters and histograms with those of the page before."""

    def __init__(self) -> None:
        self._before: dict[Series, float] = {}

    def findings(self, page: Page) -> Iterator[str]:
        """Series that decreased or disappeared, and invalid histograms."""
        now = _growing(page)
        for series, value in self._before.items():
            if now.get(series, -1.0) < value:
                yield f"{series} went from {value} to {now.get(series)}"
        self._before.update(now)
        yield from _crooked_histograms(page)


class Counters(GrowingCounters):
    """Also compares the counters with what the simulator sent."""

    def __init__(self, recorder: AnswerRecorder) -> None:
        super().__init__()
        self._recorder = recorder

    def findings(self, page: Page) -> Iterator[str]:
        """The findings of `GrowingCounters`, and responses that were counted too often."""
        yield from super().findings(page)
        answers: Counter[str] = Counter()
        for series, value in page.of("flashback_api_requests_total").items():
            answers[series.label("code")] += int(value)
        for code, number in answers.items():
            sent = self._recorder.statuses[int(code)]
            if number > sent + UNDER_WAY:
                yield f"{number} answers with {code} are counted of {sent} that were sent"


def _growing(page: Page) -> dict[Series, float]:
    """All samples that may only increase. In OpenMetrics a counter's family lacks `_total`."""
    found: dict[Series, float] = {}
    for family, kind in page.kinds.items():
        for suffix in GROWING.get(kind, ()):
            found.update(page.of(family + suffix))
    return found


def _crooked_histograms(page: Page) -> Iterator[str]:
    """Histograms whose buckets decrease, or whose last bucket differs from their count."""
    for family in (name for name, kind in page.kinds.items() if kind == "histogram"):
        bounds: dict[str, list[tuple[float, float]]] = {}
        for series, value in page.of(f"{family}_bucket").items():
            rest = str([pair for pair in series.labels if pair[0] != "le"])
            bounds.setdefault(rest, []).append((float(series.label("le")), value))
        counts = {
            str(list(each.labels)): value for each, value in page.of(f"{family}_count").items()
        }
        for rest, pairs in bounds.items():
            numbers = [value for _, value in sorted(pairs)]
            if numbers != sorted(numbers) or counts.get(rest) != numbers[-1]:
                yield f"{family}{rest} is no histogram: {numbers}, count {counts.get(rest)}"
