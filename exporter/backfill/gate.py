"""How an account's questions are let through: pauses are waited out, and a dead end is seen.

Polling can afford to fail and come back a minute later; a run of questions cannot. What is asked
is not known here.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

import structlog

from exporter.model import Fault, Reason, pause_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from exporter.clock import Clock

SPEAKING = frozenset(
    {
        Reason.BAD_REQUEST,
        Reason.FORBIDDEN,
        Reason.NOT_FOUND,
        Reason.UNSUCCESSFUL,
        Reason.TOO_LARGE,
        Reason.TOO_MANY_NODES,
    }
)
"""After these the API is there, and has let the account in."""

TROUBLE = frozenset(
    {Reason.CONNECT, Reason.TLS, Reason.TIMEOUT, Reason.SERVER_ERROR, Reason.INTERNAL}
)
"""What is rarely about one bucket when it comes again and again."""

TROUBLES_IN_A_ROW = 5
"""So many without an answer between them are a reason to wait."""

REFUSALS_IN_A_ROW = 3
"""So many 401 without an answer between them, each after a renewal, are the end."""

TROUBLE_PAUSE = 30.0  # seconds
TROUBLE_PATIENCE = 300.0
"""How long an account may be in trouble without one answer, seconds."""

QUOTA_PATIENCE = 3900.0
"""How long an account may get nothing but 429, seconds: quotas are often by the hour."""

T = TypeVar("T")

_log = structlog.get_logger()


class Gate:
    """Lets the questions of one account through."""

    def __init__(self, account: str, clock: Clock) -> None:
        self._account = account
        self._clock = clock
        self._open_at = clock.monotonic()
        self._silent_since: float | None = None  # monotonic seconds; None: the newest was an answer
        self._in_a_row = 0
        self._is_wary = False
        self._alone = asyncio.Lock()
        self._dead_end: Fault | None = None

    async def ask(
        self,
        question: Callable[[], Awaitable[T | Fault]],
        turn: Callable[[], AbstractAsyncContextManager[None]],
    ) -> T | Fault:
        """What comes of a question, asked again after each pause that it led to.

        It is asked inside a `turn`, which may have to be waited for. After a pause one is asked at
        a time until there is an answer. An account that is given up is not asked any more.
        """
        while True:
            async with self._alone if self._is_wary else nullcontext():
                await self._opened()
                async with turn():
                    if self._dead_end is not None:
                        return self._dead_end
                    if self._wait():  # that began while the turn was waited for
                        continue
                    result = await question()
                if not self._is_to_be_asked_again(result):
                    return result

    def _wait(self) -> float:
        """Seconds until somebody may go through."""
        return max(0.0, self._open_at - self._clock.monotonic())

    async def _opened(self) -> None:
        while wait := self._wait():
            await self._clock.sleep(wait)

    def _is_to_be_asked_again(self, result: object) -> bool:
        if not isinstance(result, Fault) or result.reason in SPEAKING:
            self._silent_since, self._in_a_row, self._is_wary = None, 0, False
            return False
        if self._silent_since is None:
            self._silent_since = self._clock.monotonic()
        self._in_a_row += 1
        if result.reason is Reason.RATE_LIMITED:
            return self._pause(result, pause_seconds(result.retry_after), QUOTA_PATIENCE)
        if result.reason in TROUBLE and self._in_a_row >= TROUBLES_IN_A_ROW:
            return self._pause(result, TROUBLE_PAUSE, TROUBLE_PATIENCE)
        if result.reason is Reason.UNAUTHORIZED and self._in_a_row >= REFUSALS_IN_A_ROW:
            self._give_up(result)
        return False

    def _pause(self, fault: Fault, seconds: float, patience: float) -> bool:
        """Let nobody through for a while; False where that has been done for long enough."""
        now = self._clock.monotonic()
        if self._silent_since is not None and now - self._silent_since >= patience:
            self._give_up(fault)
            return False
        if now >= self._open_at:
            facts = {"account": self._account, "seconds": seconds, "reason": fault.reason.value}
            _log.warning("account_paused", **facts, message=fault.message)
        self._open_at = max(self._open_at, now + seconds)
        self._is_wary = True
        return True

    def _give_up(self, fault: Fault) -> None:
        if self._dead_end is None:
            facts = {"account": self._account, "reason": fault.reason.value}
            _log.error("account_given_up", **facts, message=fault.message)
            message = f"not asked, since the account was given up: {fault.message}"
            self._dead_end = Fault(fault.reason, message)
