"""Which previous day is to be asked for next, of which bucket: until it is known, ever less often.

Pure: it is told what is known of buckets as their polls end, and what came of the questions. The
polls come first: who takes from here does so when nothing else is due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from exporter.model import Bucket, BucketKey, BucketState, Instant, Timing

LONGEST_WAIT = 3600.0
"""A day that could not be had is asked for at least this often, seconds."""


class PreviousDayRequest(NamedTuple):
    """A previous day of a bucket."""

    bucket: Bucket
    timing: Timing
    day: date


@dataclass(slots=True)
class _Attempt:
    """How a bucket's question has fared so far."""

    question: PreviousDayRequest
    since: float  # when it was last opened, monotonic seconds
    failures: int = 0  # answers without figures among them
    not_before: float = 0.0  # monotonic seconds
    is_open: bool = True  # waits to be asked, or is being asked


class PreviousDayQueue:
    """The questions that are open, in the order in which they came up.

    There are none where they are not wanted, as in a process that ends after one round.
    """

    def __init__(self, *, are_wanted: bool = True) -> None:
        self._are_wanted = are_wanted
        self._trials: dict[BucketKey, _Attempt] = {}
        self._waiting: dict[str, deque[_Attempt]] = {}  # by account

    def consider(self, bucket: Bucket, timing: Timing, state: BucketState, now: Instant) -> None:
        """A poll of a bucket ended well: its previous day may be wanted now."""
        if not self._are_wanted:
            return
        day = state.previous_day_wanted(bucket.id, timing, now)
        trial = self._trials.get(bucket.key)
        if trial is None or trial.question.day != day:
            if day is not None and (trial is None or not trial.is_open):
                self._open(
                    bucket.key, _Attempt(PreviousDayRequest(bucket, timing, day), now.monotonic)
                )
        elif not trial.is_open and now.monotonic >= trial.not_before - timing.poll_interval / 2:
            # With the poll that is nearest: with the next one every wait would be longer by one.
            trial.since = now.monotonic
            self._open(bucket.key, trial)

    def wanted(self, paused: Collection[str]) -> dict[str, float]:
        """The accounts that have a question and are not paused, and since when."""
        return {
            account: waiting[0].since
            for account, waiting in self._waiting.items()
            if account not in paused
        }

    def pop(self, account: str) -> PreviousDayRequest:
        """The next question of an account that has one."""
        waiting = self._waiting[account]
        trial = waiting.popleft()
        if not waiting:
            del self._waiting[account]
        return trial.question

    def answered(self, question: PreviousDayRequest) -> bool:
        """It need not be asked again; False if nobody wants to know any more."""
        if not self._is_current(question):
            return False
        del self._trials[question.bucket.key]
        return True

    def failed(self, question: PreviousDayRequest, now: float) -> bool:
        """It gave no figures and is to be asked again later; whether for the first time."""
        if not self._is_current(question):
            return False
        trial = self._trials[question.bucket.key]
        wait = question.timing.poll_interval * 2.0 ** min(trial.failures, 32)
        trial.not_before = now + min(wait, max(LONGEST_WAIT, question.timing.poll_interval))
        trial.failures += 1
        trial.is_open = False
        return trial.failures == 1

    def sync(self, buckets: Iterable[BucketKey]) -> None:
        """Forget what concerns other buckets."""
        self._trials = {key: self._trials[key] for key in buckets if key in self._trials}
        self._queue(trial for waiting in self._waiting.values() for trial in waiting)

    def drop_account(self, account: str) -> None:
        """Drop the questions of an account."""
        self.sync([key for key in self._trials if key.account != account])

    def requeue_running(self) -> None:
        """What was being asked will not be answered: it waits again."""
        self._queue(trial for trial in self._trials.values() if trial.is_open)

    def _open(self, key: BucketKey, trial: _Attempt) -> None:
        trial.is_open = True
        self._trials[key] = trial
        self._wait(trial)

    def _queue(self, trials: Iterable[_Attempt]) -> None:
        """Let these wait, and no others, as far as their buckets are held."""
        current = [trial for trial in trials if self._is_current(trial.question)]
        self._waiting = {}
        for trial in current:
            self._wait(trial)

    def _wait(self, trial: _Attempt) -> None:
        self._waiting.setdefault(trial.question.bucket.account, deque()).append(trial)

    def _is_current(self, question: PreviousDayRequest) -> bool:
        trial = self._trials.get(question.bucket.key)
        return trial is not None and trial.question is question
