"""Checks that each bucket is polled when it is due, or that the lag shows that it is late."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.truth.clock import JumpingClock
from tests.truth.pages import Page
from tests.truth.plan import REFUSED
from tests.truth.readings import SLACK, Case
from tests.truth.recorder import AnswerRecorder

LAG = "flashback_exporter_poll_lag_seconds"
PAUSED = "flashback_account_paused_until_timestamp_seconds"
LONGEST_PAUSE = 300.0


@dataclass(slots=True)
class Seen:
    """What is known about a bucket's polls, in monotonic seconds."""

    since: float  # since when the bucket is known
    ended: float = -math.inf  # a poll ended at or before this time: its duration has changed
    not_ended: float = -math.inf  # and after this time
    duration: float | None = None
    newest: float = -math.inf  # the newest sign of a poll
    allowed: float = 0.0  # the longest time allowed from that sign to the next one


class Punctuality:
    """Tracks when buckets were polled, and when accounts were paused."""

    def __init__(self, recorder: AnswerRecorder, clock: JumpingClock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._seen: dict[str, Seen] = {}
        self._paused_until: dict[str, float] = {}
        self._page_before = 0.0
        self._behind = -math.inf  # when the lag last showed that polls start late

    def begin(self, bucket: str, since: float) -> None:
        """Note that a bucket is polled since a monotonic time."""
        self._seen[bucket] = Seen(since)

    def findings(self, page: Page, cases: Mapping[str, Case], at: float) -> Iterator[str]:
        """Buckets that are late without a lag, and a lag without late buckets."""
        yield from self._take_pauses(page, at)
        lag = next(iter(page.of(LAG).values()), math.nan)
        if lag > SLACK:
            self._behind = at
        longest = 0.0
        for bucket, case in cases.items():
            seen = self._note(case)
            asked = self._recorder.asked_at.get(bucket, -math.inf)
            longest = max(longest, at - max(seen.since, seen.not_ended, asked))
            late = at - self._excuse(case, seen) - seen.allowed - SLACK
            if late > 0 and not lag >= late:
                yield f"{bucket!r} was due {late:.1f}s ago or before, and the lag is {lag}: {seen}"
        if not 0 <= lag <= longest + SLACK:
            yield f"the lag is {lag}, no bucket has been waiting for longer than {longest:.1f}s"
        self._page_before = at

    def _note(self, case: Case) -> Seen:
        """Update what is known from a page."""
        seen = self._seen[case.bucket]
        if case.shown.duration != seen.duration:
            seen.duration, seen.ended = case.shown.duration, case.at
            seen.not_ended = self._page_before
            if "rate_limited" in case.shown.reasons:
                self._pause(case.account.name, case.at)
        newest = max(seen.since, seen.ended, self._recorder.asked_at.get(case.bucket, -math.inf))
        if newest > seen.newest:
            seen.newest, seen.allowed = newest, 0.0
        seen.allowed = max(seen.allowed, self._allowed(case))
        return seen

    @staticmethod
    def _allowed(case: Case) -> float:
        """Seconds after a sign of a poll until which the next one must show."""
        wait = case.account.poll_interval
        if REFUSED & {*case.shown.reasons}:
            wait = max(wait, case.plan.recheck_interval)
        return wait + case.account.poll_interval

    def _excuse(self, case: Case, seen: Seen) -> float:
        """The time from which the next poll may be expected, after pauses and jumps of the clock.

        The last page whose lag showed late polls counts too: being late before it is no finding.
        """
        paused = self._paused_until.get(case.account.name, -math.inf)
        woke = self._clock.jumps[-1][1] if self._clock.jumps else -math.inf
        return max(seen.newest, paused, woke, self._behind)

    def _take_pauses(self, page: Page, at: float) -> Iterator[str]:
        now = self._clock.wall_at(at)
        for account, until in page.by(PAUSED, "account").items():
            left = until - now
            if not -SLACK <= left <= LONGEST_PAUSE + SLACK:
                yield f"{account!r} is paused for {left:.1f}s"
            self._pause(account, at + left)

    def _pause(self, account: str, until: float) -> None:
        self._paused_until[account] = max(self._paused_until.get(account, -math.inf), until)
