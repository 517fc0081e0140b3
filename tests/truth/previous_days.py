"""Checks that the previous day's figures are final, from one response, and from the correct day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from tests.truth.clock import JumpingClock
from tests.truth.facts import Fact
from tests.truth.readings import Case
from tests.truth.recorder import AnswerRecorder, SentAnswer

KINDS = {"uptime", "latency_average"}
AN_HOUR = 3600.0
"""Seconds after setting the clock in which the exporter may still show another day."""


class PreviousDays:
    """Compares the previous day's figures with the responses for previous days."""

    def __init__(self, recorder: AnswerRecorder, clock: JumpingClock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._graces: tuple[float, ...] = ()

    def finding(self, case: Case) -> str | None:
        """What is wrong with a bucket's previous day, or None."""
        self._graces = tuple({*self._graces, case.plan.rollover_grace})
        shown = case.shown.previous_day
        if not shown:
            return None
        answers = self._closed(case)
        unsaid = shown - {fact for answer in answers for fact in answer.facts.values}
        if unsaid:
            return f"never said of a day that was over: {sorted(unsaid)[:3]}"
        days = {answer.day for answer in answers if _figures(answer) == shown}
        if not days:
            return "its previous day is patched together from several answers"
        return self._wrong_day(case, days)

    def _closed(self, case: Case) -> list[SentAnswer]:
        """The responses about days that were over when they were sent."""
        answers = self._recorder.answers_for(case.bucket, (0, case.at))
        return [each for each in answers if each.day < _day(self._clock.wall_at(each.at))]

    def _wrong_day(self, case: Case, days: set[date]) -> str | None:
        if self._clock.was_set_since(case.at - AN_HOUR):
            return None
        right = {
            _day(self._clock.wall_at(case.at) - grace) - timedelta(days=1) for grace in self._graces
        }
        return None if days & right else f"its previous day is {min(days)}, not {min(right)}"


def _figures(answer: SentAnswer) -> set[Fact]:
    return {fact for fact in answer.facts.values if fact.kind in KINDS}


def _day(wall: float) -> date:
    return datetime.fromtimestamp(wall, UTC).date()
