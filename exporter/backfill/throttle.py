"""How an account's requests are let through: its turn, pauses that are waited out, a dead end seen.

Polling can afford to fail and come back a minute later; a backfill cannot. An account whose
requests hang keeps the slots it has, but one that falls free goes to another. What is asked is not
known here.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import structlog

from exporter.clock import Clock
from exporter.model import ApiError, Reason
from exporter.upstream.rate_limit import pause_seconds


class Silence(IntEnum):
    """What may keep a whole account from its answers, by how far its requests get."""

    TROUBLE = 0  # nobody there, or nobody who can answer
    QUOTA = 1  # there, but too much was asked
    REFUSAL = 2  # there, and asks who we are


SILENCES = {
    Reason.CONNECT: Silence.TROUBLE,
    Reason.TLS: Silence.TROUBLE,
    Reason.TIMEOUT: Silence.TROUBLE,
    Reason.SERVER_ERROR: Silence.TROUBLE,  # also a proxy's, in front of an API that is down
    Reason.INTERNAL: Silence.TROUBLE,
    Reason.RATE_LIMITED: Silence.QUOTA,
    Reason.UNAUTHORIZED: Silence.REFUSAL,
}
"""Any other reason is an answer: the API is there, has let the account in, and says something of
one bucket, be it a status or a body that nobody expected."""

TROUBLE_ROUNDS = 5
"""So many rounds of trouble without an answer between them are a reason to wait."""

REFUSAL_ROUNDS = 3
"""So many rounds of 401 without an answer between them are the end."""

TIMES_ASKED = 2
"""How often one question is asked before its failure stands, where no pause asks for more."""

TROUBLE_PAUSE = 30.0  # seconds
TROUBLE_PATIENCE = 300.0
"""How long an account may be in trouble without one answer, seconds."""

QUOTA_PATIENCE = 3900.0
"""How long an account may get nothing but 429, seconds: quotas are often by the hour."""

T = TypeVar("T")

_log = structlog.get_logger()


@dataclass(slots=True)
class Spell:
    """A silence that goes on.

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
    """Lets the questions of one account through.

    `refusal_wait`: seconds until a refused account is asked again, by how many rounds there were
    before. A round has a renewal if that is as long as the account's login waits.
    """

    def __init__(self, account: str, refusal_wait: Callable[[int], float], clock: Clock) -> None:
        self._account = account
        self._refusal_wait = refusal_wait
        self._clock = clock
        self._open_at = clock.monotonic()
        self._spells: dict[Silence, Spell] = {}
        self._sent = 0  # requests
        self._sent_before_answer = 0  # how many of them when the newest answer arrived
        self._is_wary = False
        self._alone = asyncio.Lock()
        self._dead_end: ApiError | None = None

    async def ask(
        self,
        question: Callable[[], Awaitable[T | ApiError]],
        turn: Callable[[], AbstractAsyncContextManager[None]],
    ) -> T | ApiError:
        """What comes of a question, asked again where the failure may be the whole account's.

        It is asked inside a `turn`, which may have to be waited for. After a failure that may be
        the account's, one is asked at a time until there is an answer. An account that is given up
        is not asked any more, and takes no turn.
        """
        times = 0
        while self._dead_end is None:
            alone = self._is_wary
            async with self._alone if alone else nullcontext():
                await self._opened()
                if self._dead_end is not None:
                    break
                async with turn():
                    if not self._is_open(alone=alone):  # closed while the turn was waited for
                        continue
                    self._sent += 1
                    number = self._sent
                    result = await question()
            times += 1
            if not self._is_to_be_asked_again(result, number, times):
                return result
        return self._dead_end

    def _is_open(self, *, alone: bool) -> bool:
        may_go = alone or not self._is_wary
        return may_go and not self._wait() and self._dead_end is None

    def _wait(self) -> float:
        """Seconds until somebody may go through."""
        return max(0.0, self._open_at - self._clock.monotonic())

    async def _opened(self) -> None:
        while wait := self._wait():
            await self._clock.sleep(wait)

    def _is_to_be_asked_again(self, result: object, number: int, times: int) -> bool:
        silence = SILENCES.get(result.reason) if isinstance(result, ApiError) else None
        if not isinstance(result, ApiError) or silence is None:
            self._spells.clear()
            self._sent_before_answer, self._is_wary = self._sent, False
            return False
        if silence is not Silence.QUOTA and number <= self._sent_before_answer:
            return False  # others were answered meanwhile: it is about this bucket
        spell = self._spell(silence)
        spell.note(number, self._sent)
        self._is_wary = True
        if silence is Silence.QUOTA:
            return self._pause(result, spell, pause_seconds(result.retry_after), QUOTA_PATIENCE)
        if silence is Silence.REFUSAL:
            return self._refused(result, spell) and times < TIMES_ASKED
        if spell.rounds < TROUBLE_ROUNDS:
            return times < TIMES_ASKED
        return self._pause(result, spell, TROUBLE_PAUSE, TROUBLE_PATIENCE)

    def _spell(self, silence: Silence) -> Spell:
        """The silence of this kind; those of kinds that do not get as far have ended."""
        for kind in [kind for kind in self._spells if kind < silence]:
            del self._spells[kind]
        return self._spells.setdefault(silence, Spell(self._clock.monotonic()))

    def _refused(self, fault: ApiError, spell: Spell) -> bool:
        """Wait for another token; False where that has been done often enough."""
        if spell.rounds >= REFUSAL_ROUNDS:
            self._give_up(fault)
            return False
        return self._pause(fault, spell, self._refusal_wait(spell.rounds - 1), math.inf)

    def _pause(self, fault: ApiError, spell: Spell, seconds: float, timeouts: float) -> bool:
        """Let nobody through for a while; False where that has been done for long enough."""
        now = self._clock.monotonic()
        if now - spell.since >= timeouts:
            self._give_up(fault)
            return False
        if now >= self._open_at:
            facts = {"account": self._account, "seconds": seconds, "reason": fault.reason.value}
            _log.warning("account_paused", **facts, message=fault.message)
        self._open_at = max(self._open_at, now + seconds)
        return True

    def _give_up(self, fault: ApiError) -> None:
        if self._dead_end is None:
            facts = {"account": self._account, "reason": fault.reason.value}
            _log.error("account_given_up", **facts, message=fault.message)
            message = f"not asked, since the account was given up: {fault.message}"
            self._dead_end = ApiError(fault.reason, message)


class FairShare:
    """A semaphore of `number` places.

    A free place goes to the account, among those that wait, that holds the fewest; where several
    hold as few, to the one that has waited longest since it came or last gave a place back.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # the longest wait first

    @asynccontextmanager
    async def place(self, account: str) -> AsyncIterator[None]:
        """While the body runs, the account holds a place; it may have to be waited for."""
        await self._take(account)
        try:
            yield
        finally:
            self._give_back(account)

    async def _take(self, account: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came in the same moment
                self._give_back(account)
            raise

    def _give_back(self, account: str) -> None:
        self._free += 1
        self._held[account] -= 1
        if turns := self._waiting.pop(account, None):
            self._waiting[account] = turns  # behind all others
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            account = min(self._waiting, key=self._held.__getitem__)
            turns = self._waiting[account]
            turn = turns.popleft()
            if not turns:
                del self._waiting[account]
            if not turn.done():  # or its task was cancelled
                self._free -= 1
                self._held[account] += 1
                turn.set_result(None)
