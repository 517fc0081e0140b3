"""How an account's requests are let through: pauses are waited out, and an account is given up.

Polling can afford to fail and come back a minute later; a run of requests cannot. What is asked
is not known here.
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
    """What may keep a whole account from its answers, by how far its requests get."""

    UNREACHABLE = 0  # nobody there, or nobody who can answer
    RATE_LIMITED = 1  # there, but too much was asked
    REFUSED = 2  # there, and asks who we are


ACCOUNT_FAILURES = {
    Reason.CONNECT: AccountFailure.UNREACHABLE,
    Reason.TLS: AccountFailure.UNREACHABLE,
    Reason.TIMEOUT: AccountFailure.UNREACHABLE,
    Reason.SERVER_ERROR: AccountFailure.UNREACHABLE,  # also of a proxy whose API is down
    Reason.INTERNAL: AccountFailure.UNREACHABLE,
    Reason.RATE_LIMITED: AccountFailure.RATE_LIMITED,
    Reason.UNAUTHORIZED: AccountFailure.REFUSED,
}
"""Any other reason is an answer: the API is there, has let the account in, and says something of
one bucket, be it a status or a body that nobody expected."""

UNREACHABLE_ROUNDS = 5
"""After so many rounds that reach nobody, without an answer between them, the account waits."""

REFUSED_ROUNDS = 3
"""After so many rounds of 401, without an answer between them, the account is given up."""

TIMES_ASKED = 2
"""How often one request is made before its failure stands, where no pause asks for more."""

UNREACHABLE_PAUSE = 30.0  # seconds
LONGEST_UNREACHABLE = 300.0
"""How long an account may be out of reach without one answer, seconds."""

LONGEST_RATE_LIMITED = 3900.0
"""How long an account may get nothing but 429, seconds: quotas are often by the hour."""

T = TypeVar("T")

_log = structlog.get_logger()


@dataclass(slots=True)
class Outage:
    """What keeps an account from its answers, for as long as it goes on.

    A round is whatever was under way when its first failure arrived: twenty requests that fail
    together are one round, not twenty.
    """

    since: float  # monotonic seconds
    rounds: int = 0
    sent: int = 0  # requests sent when the newest round's first failure arrived

    def note(self, number: int, sent: int) -> None:
        """The request of this number has failed; `sent` were sent by now."""
        if number > self.sent:
            self.rounds += 1
            self.sent = sent


class AccountThrottle:
    """Lets the requests of one account through.

    `refusal_wait`: seconds until a refused account is asked again, by how many rounds there were
    before. A round has a renewal if that is as long as the account's login waits.
    """

    def __init__(self, account: str, refusal_wait: Callable[[int], float], clock: Clock) -> None:
        self._account = account
        self._refusal_wait = refusal_wait
        self._clock = clock
        self._paused_until = clock.monotonic()
        self._outages: dict[AccountFailure, Outage] = {}
        self._sent = 0  # requests
        self._sent_before_answer = 0  # how many of them when the newest answer arrived
        self._one_at_a_time = False
        self._alone = asyncio.Lock()
        self._given_up: ApiError | None = None

    async def ask(
        self,
        request: Callable[[], Awaitable[T | ApiError]],
        turn: Callable[[], AbstractAsyncContextManager[None]],
    ) -> T | ApiError:
        """What comes of a request, made again where the failure may be the whole account's.

        It is made inside a `turn`, which may have to be waited for. After a failure that may be
        the account's, one is made at a time until there is an answer. An account that is given up
        is not asked any more, and takes no turn.
        """
        times = 0
        while self._given_up is None:
            alone = self._one_at_a_time
            async with self._alone if alone else nullcontext():
                await self._wait_out_pause()
                if self._given_up is not None:
                    break
                async with turn():
                    if not self._may_go(alone=alone):  # paused while the turn was waited for
                        continue
                    self._sent += 1
                    number = self._sent
                    result = await request()
            times += 1
            if not self._is_to_be_asked_again(result, number, times):
                return result
        return self._given_up

    def _may_go(self, *, alone: bool) -> bool:
        is_next = alone or not self._one_at_a_time
        return is_next and not self._wait() and self._given_up is None

    def _wait(self) -> float:
        """Seconds until somebody may go through."""
        return max(0.0, self._paused_until - self._clock.monotonic())

    async def _wait_out_pause(self) -> None:
        while wait := self._wait():
            await self._clock.sleep(wait)

    def _is_to_be_asked_again(self, result: object, number: int, times: int) -> bool:
        failure = ACCOUNT_FAILURES.get(result.reason) if isinstance(result, ApiError) else None
        if not isinstance(result, ApiError) or failure is None:
            self._outages.clear()
            self._sent_before_answer, self._one_at_a_time = self._sent, False
            return False
        if failure is not AccountFailure.RATE_LIMITED and number <= self._sent_before_answer:
            return False  # others were answered meanwhile: it is about this bucket
        outage = self._outage(failure)
        outage.note(number, self._sent)
        self._one_at_a_time = True
        if failure is AccountFailure.RATE_LIMITED:
            seconds = pause_seconds(result.retry_after)
            return self._pause(result, outage, seconds, LONGEST_RATE_LIMITED)
        if failure is AccountFailure.REFUSED:
            return self._refused(result, outage) and times < TIMES_ASKED
        if outage.rounds < UNREACHABLE_ROUNDS:
            return times < TIMES_ASKED
        return self._pause(result, outage, UNREACHABLE_PAUSE, LONGEST_UNREACHABLE)

    def _outage(self, failure: AccountFailure) -> Outage:
        """The outage of this kind; those of kinds that do not get as far have ended."""
        for kind in [kind for kind in self._outages if kind < failure]:
            del self._outages[kind]
        return self._outages.setdefault(failure, Outage(self._clock.monotonic()))

    def _refused(self, error: ApiError, outage: Outage) -> bool:
        """Wait for another token; False where that has been done often enough."""
        if outage.rounds >= REFUSED_ROUNDS:
            self._give_up(error)
            return False
        return self._pause(error, outage, self._refusal_wait(outage.rounds - 1), math.inf)

    def _pause(self, error: ApiError, outage: Outage, seconds: float, longest: float) -> bool:
        """Let nobody through for a while; False where that has been done for long enough."""
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
            message = f"not asked, since the account was given up: {error.message}"
            self._given_up = ApiError(error.reason, message)
