"""Decides which target's previous day is requested next, and when failures are retried.

It does no I/O: the runner reports ended polls and the results of requests. The poller gives polls
precedence over these requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from datetime import date
from typing import NamedTuple

from exporter.model import Instant
from exporter.polling.targets import PreviousDayAttempt, Target, Targets

LONGEST_WAIT = 3600.0
"""Seconds between two requests for a day, at most, unless the poll interval is longer."""


class PreviousDayRequest(NamedTuple):
    """A request for the previous day of a target. `attempt` identifies it."""

    target: Target
    attempt: PreviousDayAttempt

    @property
    def day(self) -> date:
        return self.attempt.day


class PreviousDayQueue:
    """The waiting requests, in order, by account.

    With `enabled=False` it stays empty, for a process that ends after one round.
    """

    def __init__(self, targets: Targets, *, enabled: bool = True) -> None:
        self._targets = targets
        self._enabled = enabled
        self._waiting: dict[str, deque[PreviousDayRequest]] = {}

    def consider(self, target: Target, now: Instant) -> None:
        """Queue a request after a good poll of a target, if its previous day is wanted now."""
        if not self._enabled:
            return
        day = target.state.previous_day_wanted(target.bucket.id, target.timing, now)
        attempt = target.previous_day_attempt
        if attempt is None or attempt.day != day:
            if day is not None and (attempt is None or not attempt.is_pending):
                self._open(target, PreviousDayAttempt(day, now.monotonic))
        elif not attempt.is_pending and now.monotonic >= self._earliest_retry(target, attempt):
            attempt.since = now.monotonic
            self._open(target, attempt)

    def wanted(self, paused: Collection[str]) -> dict[str, float]:
        """The accounts that are not paused and have waiting requests, and since when they wait."""
        return {
            account: waiting[0].attempt.since
            for account, waiting in self._waiting.items()
            if account not in paused
        }

    def pop(self, account: str) -> PreviousDayRequest:
        """Remove and return the next request of an account that has one."""
        waiting = self._waiting[account]
        request = waiting.popleft()
        if not waiting:
            del self._waiting[account]
        return request

    def is_current(self, request: PreviousDayRequest) -> bool:
        """Whether the result of the request is still wanted."""
        target, attempt = request
        return self._targets.holds(target) and target.previous_day_attempt is attempt

    def failed(self, request: PreviousDayRequest, now: float) -> bool:
        """Note that a request returned no values and retry it later; True for the first failure."""
        if not self.is_current(request):
            return False
        target, attempt = request
        wait = target.timing.poll_interval * 2.0 ** min(attempt.failures, 32)
        attempt.retry_at = now + min(wait, max(LONGEST_WAIT, target.timing.poll_interval))
        attempt.failures += 1
        attempt.is_pending = False
        return attempt.failures == 1

    def sync(self) -> None:
        """Drop the requests for targets that are gone."""
        self._rebuild(request for waiting in self._waiting.values() for request in waiting)

    def requeue_running(self) -> None:
        """Queue the requests in progress again, because their results will be dropped."""
        self._rebuild(
            PreviousDayRequest(target, target.previous_day_attempt)
            for target in self._targets
            if target.previous_day_attempt is not None and target.previous_day_attempt.is_pending
        )

    @staticmethod
    def _earliest_retry(target: Target, attempt: PreviousDayAttempt) -> float:
        """When a retry may be queued: half a poll interval before `retry_at`.

        Requests are queued only after a poll. Waiting for the first poll after `retry_at` could
        add up to a full interval.
        """
        return attempt.retry_at - target.timing.poll_interval / 2

    def _open(self, target: Target, attempt: PreviousDayAttempt) -> None:
        attempt.is_pending = True
        target.previous_day_attempt = attempt
        self._append(PreviousDayRequest(target, attempt))

    def _rebuild(self, requests: Iterable[PreviousDayRequest]) -> None:
        """Replace the queue by those of `requests` that are still wanted."""
        current = [request for request in requests if self.is_current(request)]
        self._waiting = {}
        for request in current:
            self._append(request)

    def _append(self, request: PreviousDayRequest) -> None:
        account = request.target.bucket.account
        self._waiting.setdefault(account, deque()).append(request)
