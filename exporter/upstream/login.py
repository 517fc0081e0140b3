"""A login that renews itself: one renewal at a time, in time, and never against a closed door.

Access tokens expire after one hour. A refresh is tried first, a login where that is refused. A
renewal that fails is not repeated by each poll: the account waits, ever longer, so that nobody's
account gets locked.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from exporter.model import Fault, Reason, pause_seconds
from exporter.upstream.credentials import NoToken, SecretFile
from exporter.upstream.sessions import Grant, Sessions, password_source
from exporter.upstream.tokens import Lifetime, lifetime

if TYPE_CHECKING:
    from random import Random

    from exporter.clock import Clock
    from exporter.model import Timing
    from exporter.upstream.caller import Caller
    from exporter.upstream.pace import Pace

LONGEST_MARGIN = 300.0
"""How long before its end a token is renewed at most, seconds."""

MARGIN_SHARE = 0.2
"""Which part of a short life that is instead."""

SHORT_WAIT = 5.0
"""The first wait after a renewal that failed for a passing reason, seconds; doubles."""

SHORTEST_LIFE = 1.0
"""What claims to live for less, seconds, is taken for a token that does not say."""

UNREACHABLE = {Reason.CONNECT, Reason.TLS, Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.INTERNAL}
"""After these a login would only meet the same as the refresh."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Session:
    """Tokens, and when they are of no more use; infinite where the token does not say."""

    grant: Grant
    life: Lifetime
    renew_at: float  # monotonic seconds
    ends_at: float  # likewise
    span: float  # seconds that it had when it came


@dataclass(frozen=True, slots=True)
class Closed:
    """A renewal that failed, and until when nobody tries again."""

    fault: Fault
    until: float  # monotonic seconds
    times: int  # in a row
    password: object  # the version of the password that it failed with


@dataclass(slots=True)
class Memory:
    """What a login knows, and what may go on in another one after a reload."""

    session: Session | None = None
    closed: Closed | None = None
    forced_at: float = -math.inf  # monotonic seconds
    recoveries: int = 0  # how often a login has worked again after it did not


class Login:
    """The credentials of a user who logs in."""

    def __init__(
        self,
        account: str,
        email: str,
        password: str | SecretFile,
        *,
        caller: Caller,
        timing: Timing,
        pace: Pace,
        clock: Clock,
        chance: Random,
    ) -> None:
        self._account = account
        self._file = password if isinstance(password, SecretFile) else None
        self._sessions = Sessions(email, password_source(password), caller=caller, pace=pace)
        self._timing = timing
        self._clock = clock
        self._chance = chance
        self._renewing = asyncio.Lock()
        self.memory = Memory()

    def at_hand(self) -> str | None:
        """A token that needs no renewal, or None."""
        return self._usable_token() if self._has_good_token() else None

    async def token(self) -> str:
        """A token that has not ended. Raises NoToken."""
        if not self._has_good_token():
            async with self._renewing:
                if not self._has_good_token():
                    await self._renew()
                return self._usable_token()
        return self._usable_token()

    async def renewed(self, refused: str) -> str | None:
        """Another token than the refused one.

        One is fetched for that once per poll interval, or per life of a token if that is shorter.
        """
        async with self._renewing:
            session = self.memory.session
            if session is not None and session.grant.access_token == refused:
                now = self._clock.monotonic()
                if now - self.memory.forced_at < min(self._timing.poll_interval, session.span):
                    return None
                self.memory.forced_at = now
                self.memory.session = replace(session, renew_at=now, ends_at=now)
            if not self._has_good_token():
                await self._renew()
            return self._usable_token()

    def resume(self, previous: object) -> None:
        """Go on with the session, or the wait, of another login of the same user."""
        if isinstance(previous, Login):
            self.memory = previous.memory

    def version(self) -> object:
        """Another one once logging in works again, and when the password's file changes.

        A renewal is no news: the next token may do what the one before it might.
        """
        return (self.memory.recoveries, self._password_version())

    def expiry(self) -> float | None:
        """When the newest token ends, if it says so."""
        return None if self.memory.session is None else self.memory.session.life.expiry

    def _has_good_token(self) -> bool:
        now, session = self._clock.monotonic(), self.memory.session
        if session is None or now >= session.ends_at:
            return False
        return now < session.renew_at or self._is_closed()

    def _usable_token(self) -> str:
        session = self.memory.session
        if session is not None and self._clock.monotonic() < session.ends_at:
            return session.grant.access_token
        if self.memory.closed is None:
            raise RuntimeError("a renewal left neither a session nor a fault")
        raise NoToken(self.memory.closed.fault)

    def _is_closed(self) -> bool:
        closed = self.memory.closed
        return (
            closed is not None
            and self._clock.monotonic() < closed.until
            and closed.password == self._password_version()
        )

    async def _renew(self) -> None:
        if self._is_closed():
            return
        result = await self._refreshed()
        if result is None or (isinstance(result, Fault) and result.reason not in UNREACHABLE):
            result = await self._sessions.log_in()
        if isinstance(result, Fault):
            self._close(result)
        else:
            self._open(result)

    async def _refreshed(self) -> Grant | Fault | None:
        """What a refresh gives; None where there is nothing to refresh with."""
        held = None if self.memory.session is None else self.memory.session.grant.refresh_token
        return None if held is None else await self._sessions.refresh(held)

    def _open(self, grant: Grant) -> None:
        if self.memory.closed is not None:
            _log.info("login_recovered", account=self._account)
            self.memory.recoveries += 1
        self.memory.session, self.memory.closed = self._new_session(grant), None

    def _new_session(self, grant: Grant) -> Session:
        now, life = self._clock.now(), lifetime(grant.access_token)
        left = life.remaining(now.wall)
        if left is None or left < SHORTEST_LIFE:
            return Session(grant, life, math.inf, math.inf, math.inf)
        margin = min(LONGEST_MARGIN, left * MARGIN_SHARE)
        early = margin + self._chance.uniform(0, margin / 2)
        ends_at = now.monotonic + left
        return Session(grant, life, ends_at - early, ends_at, left)

    def _close(self, fault: Fault) -> None:
        """Let nobody try again for a while, longer each time."""
        before = self.memory.closed
        if before is None or before.fault.reason is not fault.reason:
            facts = {"account": self._account, "reason": fault.reason.value}
            _log.error("login_failed", **facts, message=fault.message)
        times = 0 if before is None else before.times
        if fault.reason is Reason.RATE_LIMITED:
            wait = pause_seconds(fault.retry_after)
        elif fault.reason.is_refusal:
            wait = self._timing.refusal_wait(times)
        else:
            wait = min(SHORT_WAIT * 2.0 ** min(times, 32), self._timing.poll_interval)
        until = self._clock.monotonic() + wait
        self.memory.closed = Closed(fault, until, times + 1, self._password_version())

    def _password_version(self) -> object:
        return None if self._file is None else self._file.version()
