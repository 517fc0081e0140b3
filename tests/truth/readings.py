"""Checks that a bucket's reading is what the API sent, fresh, and from the correct day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from tests.truth.clock import JumpingClock
from tests.truth.facts import Fact
from tests.truth.plan import Plan, PlannedAccount
from tests.truth.recorder import AnswerRecorder, SentAnswer
from tests.truth.series import BucketSeries

ROUNDING = 0.01
"""Seconds by which a time on a page may be rounded."""

SLACK = 0.1
"""Seconds from the last byte of a response to the end of its poll, at most."""

A_DAY = timedelta(days=1)


class Case(NamedTuple):
    """A bucket, its series on a page, and the settings that apply to it."""

    bucket: str
    shown: BucketSeries
    plan: Plan
    account: PlannedAccount
    at: float  # when the page was made; monotonic seconds

    def shows(self, answer: SentAnswer) -> bool:
        """Whether the page shows exactly this response."""
        return (
            answer.day == self.shown.day
            and len(answer.facts.nodes) == self.shown.nodes
            and self.meaning(answer) == self.shown.facts
        )

    def meaning(self, answer: SentAnswer) -> frozenset[Fact]:
        """The facts of a response, as the exporter should show them."""
        return answer.shown(self.plan.known_statuses)


@dataclass(slots=True)
class Shown:
    """What the previous page showed about a bucket."""

    day: date | None = None
    nodes: frozenset[tuple[str, str]] = frozenset()
    success_at: float = 0.0  # monotonic seconds, like the next one
    since: float = 0.0  # since when it is polled
    stale_after: tuple[float, ...] = ()  # all values since then, like the next one
    graces: tuple[float, ...] = ()


class Readings:
    """Compares the readings on pages with the responses that were sent."""

    def __init__(self, recorder: AnswerRecorder, clock: JumpingClock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._shown: dict[str, Shown] = {}

    def begin(self, bucket: str, since: float) -> None:
        """Note that a bucket is polled since a monotonic time, and forget what was known before."""
        self._shown[bucket] = Shown(since=since)

    def succeeded_at(self, bucket: str) -> float:
        """The monotonic time of its last known success; 0 if there was none."""
        return self._shown[bucket].success_at

    def findings(self, case: Case) -> Iterator[str]:
        """Everything that is wrong about a bucket."""
        if case.shown.success is None:
            return
        before = self._shown[case.bucket]
        latest = case.at + ROUNDING
        ends = [end for end in self._clock.moments(case.shown.success) if end <= latest]
        answers = [(end, answer) for end in ends for answer in self._answers(case, end)]
        if not answers:
            if not ends or self._recorder.remembers(case.bucket, max(ends) - 600):
                yield f"nothing was sent for it at its last success, {case.shown.success}"
            return
        # If the wall clock was set back, it showed the same time twice. The last known success and
        # the response decide which one it was.
        known = before.success_at - ROUNDING
        ended = min(answers, key=lambda each: (each[0] < known, each[0] - each[1].at))[0]
        yield from self._wrong_freshness(case, ended)
        if case.shown.nodes is not None:
            yield from self._wrong_reading(case, answers, ended)

    def _answers(self, case: Case, end: float) -> list[SentAnswer]:
        """The responses that a poll may have received if it ended at `end`."""
        start = end - SLACK
        slept = self._clock.slept(start, end)
        if slept <= case.account.poll_interval:  # no poll takes longer
            start -= slept
        return self._recorder.answers_for(case.bucket, (start, end + ROUNDING))

    @staticmethod
    def _wrong_freshness(case: Case, ended: float) -> Iterator[str]:
        stale_at = ended + case.account.stale_after
        is_shown = case.shown.nodes is not None
        if is_shown and case.at > stale_at + ROUNDING:
            yield f"its reading has been stale for {case.at - stale_at:.2f}s and is shown"
        if not is_shown and case.at < stale_at - ROUNDING:
            yield f"its reading is good for {stale_at - case.at:.2f}s more and is not shown"

    def _wrong_reading(
        self, case: Case, answers: list[tuple[float, SentAnswer]], ended: float
    ) -> Iterator[str]:
        before = self._shown[case.bucket]
        before.stale_after = tuple({*before.stale_after, case.account.stale_after})
        before.graces = tuple({*before.graces, case.plan.rollover_grace})
        if ended < before.since - ROUNDING:
            yield f"it shows what was polled at {ended}, and is polled since {before.since}"
        if ended < before.success_at - ROUNDING:
            yield f"its last success went back from {before.success_at} to {ended}"
        source = next((answer for _, answer in answers if case.shows(answer)), None)
        if source is not None:
            yield from self._wrong_day(case, ended)
            yield from self._given_up(case, ended, before, source)
        else:
            kept = (self._kept(case, end, answer) for end, answer in answers)
            source = next(filter(None, kept), None)
        if source is None:
            yield self._mismatch(case, ended)
        else:
            nodes = source.facts.nodes
            self._shown[case.bucket] = replace(
                before, day=case.shown.day, nodes=nodes, success_at=ended
            )

    def _kept(self, case: Case, ended: float, confirming: SentAnswer) -> SentAnswer | None:
        """Yesterday's response that is shown, if good polls in the grace period confirmed it."""
        into_the_day = self._clock.wall_at(ended) % 86400
        too_late = into_the_day > max(self._shown[case.bucket].graces) + SLACK
        if too_late or case.shown.day is None or confirming.day != case.shown.day + A_DAY:
            return None
        longest = max(self._shown[case.bucket].stale_after) + SLACK
        newest = confirming
        for answer in self._recorder.answers_for(case.bucket, (0, confirming.at)):
            if newest.at - answer.at > longest:
                return None
            newest = answer
            if case.shows(answer):
                return answer if _lacks(confirming, answer.facts.nodes) else None
        return None

    def _wrong_day(self, case: Case, ended: float) -> Iterator[str]:
        """Reports a day that was current neither at the start nor at the end of the poll."""
        longest = case.account.poll_interval + SLACK
        if self._clock.was_set_since(ended - longest):
            return
        wall = self._clock.wall_at(ended)
        if case.shown.day not in {_day(wall), _day(wall - longest)}:
            yield f"it shows {case.shown.day}, and was polled on {_day(wall)}"

    def _given_up(
        self, case: Case, ended: float, before: Shown, source: SentAnswer
    ) -> Iterator[str]:
        """Reports that, in the grace period, a reading without some nodes replaced yesterday's."""
        into_the_day = self._clock.wall_at(ended) % 86400
        if (
            before.day is not None
            and case.shown.day == before.day + A_DAY
            and into_the_day < min(before.graces) - ROUNDING
            and ended < before.success_at + min(before.stale_after) - ROUNDING
            and _lacks(source, before.nodes)
            and not self._clock.was_set_since(before.success_at - SLACK)
        ):
            lost = sorted(before.nodes - source.facts.nodes)
            yield f"yesterday's reading was given up {into_the_day:.0f}s into the day: {lost}"

    def _mismatch(self, case: Case, ended: float) -> str:
        """What is wrong with a reading that matches no response."""
        shown, now = case.shown, case.at
        answers = self._recorder.answers_for(case.bucket, (0, case.at))
        answers = [answer for answer in answers if answer.day == shown.day]
        unsaid = shown.facts - {fact for answer in answers for fact in case.meaning(answer)}
        if unsaid:
            return f"never said of it on {shown.day}: {sorted(unsaid)[:3]}"
        for answer in filter(case.shows, answers):
            ages = (
                f"{now - answer.at:.1f}s ago, and last polled with success {now - ended:.1f}s ago"
            )
            return f"it shows what was said {ages}"
        differences = [sorted(case.meaning(answer) ^ shown.facts) for answer in answers]
        nearest = min(differences, key=len, default=[])
        return f"it shows {shown.nodes} nodes, as no answer for {shown.day} did: {nearest[:4]}"


def _lacks(answer: SentAnswer, nodes: frozenset[tuple[str, str]]) -> bool:
    """Whether a response is empty or lacks one of these nodes."""
    return not answer.facts.nodes or bool(nodes - answer.facts.nodes)


def _day(wall: float) -> date:
    return datetime.fromtimestamp(wall, UTC).date()
