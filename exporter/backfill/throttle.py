"""Limits an account's requests: waits during pauses, and gives an account up.

Polling can fail and retry a minute later; a backfill cannot. This module does not look at what is
requested.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import structlog

from exporter.clock import Clock
from exporter.model import ApiError, Reason
from exporter.upstream.rate_limit import pause_seconds


class AccountFailure(IntEnum):
    """Why a whole account may get no usable responses, ordered by how far its requests get."""

    UNREACHABLE = 0  # no connection, or the API is down
    RATE_LIMITED = 1  # too many requests
    REFUSED = 2  # not authenticated


ACCOUNT_FAILURES = {
    Reason.CONNECT: AccountFailure.UNREACHABLE,
    Reason.TLS: AccountFailure.UNREACHABLE,
    Reason.TIMEOUT: AccountFailure.UNREACHABLE,
    Reason.SERVER_ERROR: AccountFailure.UNREACHABLE,  # also from a proxy if the API is down
    Reason.INTERNAL: AccountFailure.UNREACHABLE,
    Reason.RATE_LIMITED: AccountFailure.RATE_LIMITED,
    Reason.UNAUTHORIZED: AccountFailure.REFUSED,
}
"""Any other reason is about one bucket: the API works and accepts the account."""

UNREACHABLE_ROUNDS = 5
"""Consecutive unreachable rounds after which the account pauses."""

REFUSED_ROUNDS = 3
"""Consecutive rounds of 401 after which the account is given up."""

MAX_ATTEMPTS = 2
"""Attempts of one request; more only if a failure pauses the account for a 429 or an outage."""

UNREACHABLE_PAUSE = 30.0  # seconds
LONGEST_UNREACHABLE = 300.0
"""Seconds for which an account may be unreachable before it is given up."""

LONGEST_RATE_LIMITED = 3900.0
"""Seconds for which an account may get only 429; quotas are often hourly."""

T = TypeVar("T")

_log = structlog.get_logger()


@dataclass(slots=True)
class Outage:
    """A period in which an account gets no usable responses.

    A round is all requests in flight when its first failure arrived: twenty requests that fail
    together are one round.
    """

    since: float  # monotonic seconds
    rounds: int = 0
    sent: int = 0  # requests sent when the latest round's first failure arrived

    def note(self, number: int, sent: int) -> None:
        """Count the failure of request `number`; `sent` requests have been sent so far."""
        if number > self.sent:
            self.rounds += 1
            self.sent = sent


class AccountThrottle:
    """Limits the requests of one account.

    `refusal_wait` gives the seconds until the next request after a 401, by the number of rounds. It
    should be as long as the login's backoff, so that each round has a renewed token.
    """

    def __init__(self, account: str, refusal_wait: Callable[[int], float], clock: Clock) -> None:
        self._account = account
        self._refusal_wait = refusal_wait
        self._clock = clock
        self._paused_until = clock.monotonic()
        self._outages: dict[AccountFailure, Outage] = {}
        self._sent = 0  # requests
        self._sent_at_last_response = 0  # how many of them when the latest response arrived
        self._one_at_a_time = False
        self._alone = asyncio.Lock()
        self._given_up: ApiError | None = None

    async def ask(
        self,
        request: Callable[[], Awaitable[T | ApiError]],
        turn: Callable[[], AbstractAsyncContextManager[None]],
    ) -> T | ApiError:
        """Make a request, and repeat it if the failure may affect the whole account.

        The request runs inside a `turn`. After such a failure, requests run one at a time until
        one gets a response. An account that was given up gets no more requests and takes no turn.
        """
        times = 0
        while self._given_up is None:
            alone = self._one_at_a_time
            async with self._alone if alone else nullcontext():
                await self._wait_out_pause()
                if self._given_up is not None:
                    break
                async with turn():
                    if not self._may_go(alone=alone):  # paused while it waited for the turn
                        continue
                    self._sent += 1
                    number = self._sent
                    result = await request()
            times += 1
            if not self._should_retry(result, number, times):
                return result
        return self._given_up

    def _may_go(self, *, alone: bool) -> bool:
        is_next = alone or not self._one_at_a_time
        return is_next and not self._wait() and self._given_up is None

    def _wait(self) -> float:
        """Seconds until the next request is allowed."""
        return max(0.0, self._paused_until - self._clock.monotonic())

    async def _wait_out_pause(self) -> None:
        while wait := self._wait():
            await self._clock.sleep(wait)

    def _should_retry(self, result: object, number: int, times: int) -> bool:
        failure = ACCOUNT_FAILURES.get(result.reason) if isinstance(result, ApiError) else None
        if not isinstance(result, ApiError) or failure is None:
            self._outages.clear()
            self._sent_at_last_response, self._one_at_a_time = self._sent, False
            return False
        if failure is not AccountFailure.RATE_LIMITED and number <= self._sent_at_last_response:
            return False  # others got responses in the meantime: only this bucket fails
        outage = self._outage(failure)
        outage.note(number, self._sent)
        self._one_at_a_time = True
        if failure is AccountFailure.RATE_LIMITED:
            seconds = pause_seconds(result.retry_after)
            return self._pause(result, outage, seconds, LONGEST_RATE_LIMITED)
        if failure is AccountFailure.REFUSED:
            return self._refused(result, outage) and times < MAX_ATTEMPTS
        if outage.rounds < UNREACHABLE_ROUNDS:
            return times < MAX_ATTEMPTS
        return self._pause(result, outage, UNREACHABLE_PAUSE, LONGEST_UNREACHABLE)

    def _outage(self, failure: AccountFailure) -> Outage:
        """The outage of this kind. Lower kinds are over, since this request got further."""
        for kind in [kind for kind in self._outages if kind < failure]:
            del self._outages[kind]
        return self._outages.setdefault(failure, Outage(self._clock.monotonic()))

    def _refused(self, error: ApiError, outage: Outage) -> bool:
        """Pause for a new token. False after the last allowed round."""
        if outage.rounds >= REFUSED_ROUNDS:
            self._give_up(error)
            return False
        return self._pause(error, outage, self._refusal_wait(outage.rounds - 1), math.inf)

    def _pause(self, error: ApiError, outage: Outage, seconds: float, longest: float) -> bool:
        """Pause all requests. False once the pauses have taken too long."""
        now = self._clock.monotonic()
        if now - outage.since >= longest:
            self._give_up(error)
            return False
        if now >= self._paused_until:
            facts = {"account": self._account, "seconds": seconds, "reason": error.reason.value}
            _log.warning("account_paused", **facts, message=error.message)
        self._paused_until = max(self._paused_until, now + seconds)
        return True

    def _give_up(self, error: ApiError) -> None:
        if self._given_up is None:
            facts = {"account": self._account, "reason": error.reason.value}
            _log.error("account_given_up", **facts, message=error.message)
            message = f"not requested, since the account was given up: {error.message}"
            self._given_up = ApiError(error.reason, message)
