"""How an account's requests are let through: its turn, pauses that are waited out, a dead end seen.

Polling can afford to fail and come back a minute later; a backfill cannot. An account whose
requests hang keeps the slots it has, but one that falls free goes to another. What is asked is not
known here.
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


class AccountFault(IntEnum):
    """What may keep a whole account from its answers, by how far its requests get."""

    TROUBLE = 0  # nobody there, or nobody who can answer
    QUOTA = 1  # there, but too much was asked
    REFUSAL = 2  # there, and asks who we are


ACCOUNT_FAULTS = {
    Reason.CONNECT: AccountFault.TROUBLE,
    Reason.TLS: AccountFault.TROUBLE,
    Reason.TIMEOUT: AccountFault.TROUBLE,
    Reason.SERVER_ERROR: AccountFault.TROUBLE,  # also a proxy's, in front of an API that is down
    Reason.INTERNAL: AccountFault.TROUBLE,
    Reason.RATE_LIMITED: AccountFault.QUOTA,
    Reason.UNAUTHORIZED: AccountFault.REFUSAL,
}
"""Any other reason is an answer: the API is there, has let the account in, and says something of
one bucket, be it a status or a body that nobody expected."""

TROUBLE_ROUNDS = 5
"""So many rounds of trouble without an answer between them are a reason to wait."""

REFUSAL_ROUNDS = 3
"""So many rounds of 401 without an answer between them are the end."""

TIMES_ASKED = 2
"""How often one request is asked before its failure stands, where no pause asks for more."""

TROUBLE_PAUSE = 30.0  # seconds
LONGEST_TROUBLE = 300.0
"""How long an account may be in trouble without one answer, seconds."""

LONGEST_QUOTA_WAIT = 3900.0
"""How long an account may get nothing but 429, seconds: quotas are often by the hour."""

T = TypeVar("T")

_log = structlog.get_logger()


@dataclass(slots=True)
class FaultPeriod:
    """A fault of an account that goes on.

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
        self._open_at = clock.monotonic()
        self._periods: dict[AccountFault, FaultPeriod] = {}
        self._sent = 0  # requests
        self._sent_before_answer = 0  # how many of them when the newest answer arrived
        self._one_at_a_time = False
        self._alone = asyncio.Lock()
        self._given_up_for: ApiError | None = None

    async def ask(
        self,
        request: Callable[[], Awaitable[T | ApiError]],
        turn: Callable[[], AbstractAsyncContextManager[None]],
    ) -> T | ApiError:
        """What comes of a request, asked again where the failure may be the whole account's.

        It is asked inside a `turn`, which may have to be waited for. After a failure that may be
        the account's, one is asked at a time until there is an answer. An account that is given up
        is not asked any more, and takes no turn.
        """
        times = 0
        while self._given_up_for is None:
            alone = self._one_at_a_time
            async with self._alone if alone else nullcontext():
                await self._wait_until_open()
                if self._given_up_for is not None:
                    break
                async with turn():
                    if not self._is_open(alone=alone):  # closed while the turn was waited for
                        continue
                    self._sent += 1
                    number = self._sent
                    result = await request()
            times += 1
            if not self._is_to_be_asked_again(result, number, times):
                return result
        return self._given_up_for

    def _is_open(self, *, alone: bool) -> bool:
        may_go = alone or not self._one_at_a_time
        return may_go and not self._wait() and self._given_up_for is None

    def _wait(self) -> float:
        """Seconds until somebody may go through."""
        return max(0.0, self._open_at - self._clock.monotonic())

    async def _wait_until_open(self) -> None:
        while wait := self._wait():
            await self._clock.sleep(wait)

    def _is_to_be_asked_again(self, result: object, number: int, times: int) -> bool:
        account_fault = ACCOUNT_FAULTS.get(result.reason) if isinstance(result, ApiError) else None
        if not isinstance(result, ApiError) or account_fault is None:
            self._periods.clear()
            self._sent_before_answer, self._one_at_a_time = self._sent, False
            return False
        if account_fault is not AccountFault.QUOTA and number <= self._sent_before_answer:
            return False  # others were answered meanwhile: it is about this bucket
        period = self._period(account_fault)
        period.note(number, self._sent)
        self._one_at_a_time = True
        if account_fault is AccountFault.QUOTA:
            return self._pause(
                result, period, pause_seconds(result.retry_after), LONGEST_QUOTA_WAIT
            )
        if account_fault is AccountFault.REFUSAL:
            return self._refused(result, period) and times < TIMES_ASKED
        if period.rounds < TROUBLE_ROUNDS:
            return times < TIMES_ASKED
        return self._pause(result, period, TROUBLE_PAUSE, LONGEST_TROUBLE)

    def _period(self, account_fault: AccountFault) -> FaultPeriod:
        """The period of a fault; those of faults that do not get as far have ended."""
        for kind in [kind for kind in self._periods if kind < account_fault]:
            del self._periods[kind]
        return self._periods.setdefault(account_fault, FaultPeriod(self._clock.monotonic()))

    def _refused(self, fault: ApiError, period: FaultPeriod) -> bool:
        """Wait for another token; False where that has been done often enough."""
        if period.rounds >= REFUSAL_ROUNDS:
            self._give_up(fault)
            return False
        return self._pause(fault, period, self._refusal_wait(period.rounds - 1), math.inf)

    def _pause(self, fault: ApiError, period: FaultPeriod, seconds: float, longest: float) -> bool:
        """Let nobody through for a while; False where that has been done for long enough."""
        now = self._clock.monotonic()
        if now - period.since >= longest:
            self._give_up(fault)
            return False
        if now >= self._open_at:
            facts = {"account": self._account, "seconds": seconds, "reason": fault.reason.value}
            _log.warning("account_paused", **facts, message=fault.message)
        self._open_at = max(self._open_at, now + seconds)
        return True

    def _give_up(self, fault: ApiError) -> None:
        if self._given_up_for is None:
            facts = {"account": self._account, "reason": fault.reason.value}
            _log.error("account_given_up", **facts, message=fault.message)
            message = f"not asked, since the account was given up: {fault.message}"
            self._given_up_for = ApiError(fault.reason, message)
