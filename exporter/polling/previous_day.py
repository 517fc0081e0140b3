"""Which target's previous day is asked for next: until it is known, ever less often.

Pure: it is told what is known as polls end, and what came of the requests. Polls come first: who
takes from here does so when no poll is due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from datetime import date
from typing import NamedTuple

from exporter.model import Instant
from exporter.polling.targets import PreviousDayAttempt, Target, Targets

LONGEST_WAIT = 3600.0
"""A day that could not be had is asked for at least this often, seconds."""


class PreviousDayRequest(NamedTuple):
    """A target, and the attempt at its previous day that the answer is for."""

    target: Target
    attempt: PreviousDayAttempt

    @property
    def day(self) -> date:
        return self.attempt.day


class PreviousDayQueue:
    """The requests that wait, account by account, in the order in which they came up.

    There are none where they are not wanted, as in a process that ends after one round.
    """

    def __init__(self, targets: Targets, *, are_wanted: bool = True) -> None:
        self._targets = targets
        self._are_wanted = are_wanted
        self._waiting: dict[str, deque[PreviousDayRequest]] = {}

    def consider(self, target: Target, now: Instant) -> None:
        """A poll of a target ended well: its previous day may be wanted now."""
        if not self._are_wanted:
            return
        day = target.state.previous_day_wanted(target.bucket.id, target.timing, now)
        attempt = target.previous_day_attempt
        if attempt is None or attempt.day != day:
            if day is not None and (attempt is None or not attempt.is_open):
                self._open(target, PreviousDayAttempt(day, now.monotonic))
        elif not attempt.is_open and now.monotonic >= self._nearest(target, attempt):
            attempt.since = now.monotonic
            self._open(target, attempt)

    def wanted(self, paused: Collection[str]) -> dict[str, float]:
        """The accounts that have a request waiting and are not paused, and since when."""
        return {
            account: waiting[0].attempt.since
            for account, waiting in self._waiting.items()
            if account not in paused
        }

    def pop(self, account: str) -> PreviousDayRequest:
        """The next request of an account that has one."""
        waiting = self._waiting[account]
        request = waiting.popleft()
        if not waiting:
            del self._waiting[account]
        return request

    def is_current(self, request: PreviousDayRequest) -> bool:
        """Whether anybody still wants to know."""
        target, attempt = request
        return self._targets.holds(target) and target.previous_day_attempt is attempt

    def failed(self, request: PreviousDayRequest, now: float) -> bool:
        """It gave no figures and is to be made again later; whether for the first time."""
        if not self.is_current(request):
            return False
        target, attempt = request
        wait = target.timing.poll_interval * 2.0 ** min(attempt.failures, 32)
        attempt.not_before = now + min(wait, max(LONGEST_WAIT, target.timing.poll_interval))
        attempt.failures += 1
        attempt.is_open = False
        return attempt.failures == 1

    def sync(self) -> None:
        """The targets are others now: drop the requests for those that are gone."""
        self._queue(request for waiting in self._waiting.values() for request in waiting)

    def requeue_running(self) -> None:
        """The requests that are under way will not be answered: they wait again."""
        self._queue(
            PreviousDayRequest(target, target.previous_day_attempt)
            for target in self._targets
            if target.previous_day_attempt is not None and target.previous_day_attempt.is_open
        )

    @staticmethod
    def _nearest(target: Target, attempt: PreviousDayAttempt) -> float:
        """From when a poll is the one nearest to `not_before`.

        With the next one after that, every wait would be longer by one.
        """
        return attempt.not_before - target.timing.poll_interval / 2

    def _open(self, target: Target, attempt: PreviousDayAttempt) -> None:
        attempt.is_open = True
        target.previous_day_attempt = attempt
        self._wait(PreviousDayRequest(target, attempt))

    def _queue(self, requests: Iterable[PreviousDayRequest]) -> None:
        """Let these wait, and no others, as far as they are wanted still."""
        current = [request for request in requests if self.is_current(request)]
        self._waiting = {}
        for request in current:
            self._wait(request)

    def _wait(self, request: PreviousDayRequest) -> None:
        account = request.target.bucket.account
        self._waiting.setdefault(account, deque()).append(request)
