"""Checks that a page has exactly the configured and discovered buckets, with their labels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TypeAlias

from tests.truth.clock import JumpingClock
from tests.truth.pages import Page, Series
from tests.truth.plan import Plan, PlannedAccount
from tests.truth.readings import SLACK
from tests.truth.recorder import AnswerRecorder, ListedBucket, Span

INFO = "flashback_bucket_info"
COUNT = "flashback_account_discovered_buckets"
SUCCESS = "flashback_account_discovery_last_success_timestamp_seconds"
EARLIER = 8
"""Earlier list responses that an empty one may leave in effect. Reloads lose some of them."""
ROUNDING = 0.01

Found: TypeAlias = "tuple[ListedBucket, ...]"


class BucketLists:
    """Compares the buckets of a page with the plan and the list responses that were sent."""

    def __init__(self, recorder: AnswerRecorder, clock: JumpingClock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._before: dict[str, list[Found]] = {}

    def findings(self, page: Page, plan: Plan, at: float) -> Iterator[str]:
        """Buckets that are missing, unexpected, or have other labels than expected."""
        possible = {account.name: self._found(page, account, at) for account in plan.accounts}
        for name, options in possible.items():
            if not options:
                yield f"what discovery says of {name} agrees with no listing"
        # A list response may be applied while the page is being sent.
        either = {
            name: list(dict.fromkeys([*own, *self._before.get(name, [])]))
            for name, own in possible.items()
        }
        self._before = possible
        differences = [
            _differences(page, plan, dict(zip(either, options, strict=True)))
            for options in product(*either.values())
        ]
        yield from min(differences, key=len, default=[])
        ids = [series.label("bucket_id") for series in page.of(INFO)]
        if len(ids) != len(set(ids)):
            yield f"several infos: {sorted({each for each in ids if ids.count(each) > 1})}"

    def forget(self) -> None:
        """Forget the possible buckets of the previous page, which had another configuration."""
        self._before = {}

    def _found(self, page: Page, account: PlannedAccount, at: float) -> list[Found]:
        """The discovered buckets that agree with the page's count and time of success."""
        count = page.by(COUNT, "account").get(account.name)
        success = page.by(SUCCESS, "account").get(account.name)
        if account.discovery is None:
            return [()] if (count, success) == (None, None) else []
        if success is None:
            return [()] if not count else []
        latest = at + ROUNDING
        ends = [end for end in self._clock.moments(success) if end <= latest]
        return [
            entries
            for end in ends
            for entries in self._told(self._span(end))
            if sum(map(account.discovery.matches, entries)) == count
        ]

    def _span(self, end: float) -> Span:
        """When a list response that was applied at `end` must have been sent."""
        start = end - SLACK
        return (start - self._clock.slept(start, end), end + ROUNDING)

    def _told(self, span: Span) -> Iterator[Found]:
        """The buckets after a list response in the span. An empty one takes effect if repeated."""
        listings = [each for each in self._recorder.listings if each.at <= span[1]]
        for number, listing in reversed(list(enumerate(listings))):
            if listing.at < span[0]:
                return
            earlier = listings[:number][::-1]
            if not listing.entries:
                yield from (each.entries for each in earlier[:EARLIER] if each.entries)
            if listing.entries or not earlier or not earlier[0].entries:
                yield listing.entries


def _differences(page: Page, plan: Plan, found: dict[str, Found]) -> list[str]:
    expected = {
        Series(INFO, tuple(sorted(labels.items()))) for labels in plan.assign(found).values()
    }
    there = set(page.of(INFO))
    missing = [f"{dict(each.labels)} is not there" for each in sorted(expected - there, key=repr)]
    surplus = [f"{dict(each.labels)} is there" for each in sorted(there - expected, key=repr)]
    return [*missing, *surplus]
