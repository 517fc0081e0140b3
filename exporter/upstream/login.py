"""A login that renews itself: the calls that give tokens, when they are made, and how long not.

A renewal is one task of the account, which all that need a token wait for; its failure counts once.
Nothing here knows HTTP answers: whoever is refused asks for another token.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from random import Random

import structlog

from exporter.clock import Clock
from exporter.model import ApiError, Reason, Timing
from exporter.upstream.credentials import (
    Lifetime,
    NoToken,
    SecretFile,
    Waiting,
    is_token,
    lifetime,
)
from exporter.upstream.events import Call
from exporter.upstream.json_reader import json_object
from exporter.upstream.parsing import Parsed, server_message
from exporter.upstream.rate_limit import RateLimiter, pause_seconds
from exporter.upstream.request import ApiRequest, Requester

NO_TOKEN = ApiError(
    Reason.UNAUTHORIZED,
    "the answer has no token, as where MFA is on:"
    " use a user without MFA, or authorization.credentials_file",
)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login or a refresh gives."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)


class LoginApi:
    """The calls of one user."""

    def __init__(self, email: str, *, requester: Requester, rate_limiter: RateLimiter) -> None:
        self._email = email
        self._requester = requester
        self._rate_limiter = rate_limiter
        # The vendor's client writes the first, its documentation the second.
        self._spellings = ["refresh_token", "refreshToken"]

    async def log_in(self, password: str | ApiError) -> TokenPair | ApiError:
        """A session for e-mail and password. A refusal in any form is UNAUTHORIZED.

        Nothing is sent where an error says why there is no password.
        """
        if isinstance(password, ApiError):
            self._requester.not_sent(Call.LOGIN, password)
            return password
        result = await self._ask(Call.LOGIN, {"email": self._email, "password": password}, password)
        if isinstance(result, ApiError) and result.reason.is_refusal:
            return ApiError(Reason.UNAUTHORIZED, f"the login is refused: {result.message}")
        return result

    async def refresh(self, refresh_token: str) -> TokenPair | ApiError:
        """A session for a refresh token; it may bring another refresh token with it."""
        result: TokenPair | ApiError = NO_TOKEN
        for spelling in tuple(self._spellings):
            result = await self._ask(Call.REFRESH, {spelling: refresh_token}, refresh_token)
            if not isinstance(result, ApiError):
                self._spellings.sort(key=lambda other: other != spelling)
                return TokenPair(result.access_token, result.refresh_token or refresh_token)
            if result.reason is not Reason.BAD_REQUEST:
                break
        return result

    async def _ask(self, call: Call, fields: dict[str, str], secret: str) -> TokenPair | ApiError:
        await self._rate_limiter.acquire()
        body = json.dumps(fields).encode()
        # Any 2xx: a login makes something, and gateways answer 201 or 203 for it.
        api_request = ApiRequest(call, "POST", f"/user/{call.value}", body, (secret,), any_2xx=True)
        result = await self._requester.attempt(api_request, parse_tokens)
        if isinstance(result, TokenPair):
            self._requester.secrets.add("access token", result.access_token)
            self._requester.secrets.add(Call.REFRESH, result.refresh_token or "")
        return result


def parse_tokens(body: bytes) -> Parsed[TokenPair]:
    """What the body of a 2xx gives. One that is large has no token: it is MALFORMED."""
    return Parsed(_token_pair(body))


def _token_pair(body: bytes) -> TokenPair | ApiError:
    answer = json_object(body)
    if answer is None:
        return ApiError(Reason.MALFORMED, "the answer is not a JSON object")
    if answer.get("success") is False:
        return ApiError(
            Reason.UNAUTHORIZED, server_message(body) or "the answer says success: false"
        )
    access, refresh = answer.get("accessToken"), answer.get("refreshToken")
    if not isinstance(access, str) or not is_token(access):
        return NO_TOKEN
    return TokenPair(access, refresh if isinstance(refresh, str) and refresh else None)


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
class LoginSession:
    """Tokens, and when they are of no more use; infinite where the token does not say."""

    tokens: TokenPair
    came_by: Call  # a login or a refresh
    life: Lifetime
    renew_at: float  # monotonic seconds
    ends_at: float  # likewise
    span: float  # seconds that it had when it came


@dataclass(frozen=True, slots=True)
class Backoff:
    """A renewal that failed, and until when nobody tries again."""

    error: ApiError
    until: float  # monotonic seconds
    times: int  # in a row
    password: str | ApiError | None = field(repr=False)  # that it failed with


@dataclass(slots=True)
class LoginState:
    """What a login knows, and what may go on in another one after a reload."""

    session: LoginSession | None = None
    backoff: Backoff | None = None
    refused_at: dict[Call, float] = field(default_factory=dict)
    """When a token that came by this call was last renewed because it was refused; monotonic."""


class LoginCredentials:
    """The credentials of a user who logs in."""

    def __init__(
        self,
        account: str,
        email: str,
        password: str | SecretFile,
        *,
        requester: Requester,
        timing: Timing,
        rate_limiter: RateLimiter,
        clock: Clock,
        chance: Random,
    ) -> None:
        self._account = account
        self._password = password
        self._login_api = LoginApi(email, requester=requester, rate_limiter=rate_limiter)
        self._timing = timing
        self._clock = clock
        self._chance = chance
        self.state = LoginState()
        self._renewal_wanted = asyncio.Event()
        self._renewal_ended = asyncio.Event()  # the next to end; it then gives way to another
        self._another_password = asyncio.Event()

    async def run(self, news: Callable[[], None]) -> None:
        """Renew whenever that is wanted, until cancelled.

        `news` is called once logging in works again and for another password. A renewal is no
        news: the next token may do what the one before it might.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew_when_wanted(news))
            if isinstance(self._password, SecretFile):
                group.create_task(self._password.watch(lambda: self._try_password(news)))

    def resume(self, previous: object) -> None:
        """Go on with the session, or the wait, of another login of the same user."""
        if isinstance(previous, LoginCredentials):
            self.state = previous.state
            self._password = previous._password  # noqa: SLF001 - of the same class

    async def token(self, waiting: Waiting = nullcontext) -> str:
        """A token that has not ended. Raises NoToken.

        May wait as long as a renewal takes: whoever cannot gives up waiting, not the renewal.
        """
        token = self._current_token()
        if token is None:
            async with waiting():
                token = await self._renewed_token()
        return token

    def _current_token(self) -> str | None:
        """The token until it ends, or None. Nobody waits for a renewal before that."""
        session, now = self.state.session, self._clock.monotonic()
        if session is None or now >= session.ends_at:
            return None
        if now >= session.renew_at:
            self._renewal_wanted.set()
        return session.tokens.access_token

    async def _renewed_token(self) -> str:
        if self._current_backoff() is not None:
            self._renewal_wanted.set()  # for when the wait is over
        while (token := self._current_token()) is None:
            backoff = self._current_backoff()
            if backoff is not None:
                raise NoToken(backoff.error)
            self._renewal_wanted.set()
            await self._renewal_ended.wait()
        return token

    async def refresh(self, refused: str) -> str | None:
        """Another token than the refused one. Raises NoToken.

        One that came by a login is renewed by a refresh, one that came by a refresh by a login:
        each once per poll interval, or per life of a token if that is shorter.
        """
        session, current = self.state.session, self._current_token()
        if session is not None and current == refused and not self._end_session(session):
            return None
        return await self._renewed_token()

    def expiry(self) -> float | None:
        """When the newest token ends, if it says so."""
        return None if self.state.session is None else self.state.session.life.expiry

    def _end_session(self, session: LoginSession) -> bool:
        """End a session whose token is refused; False where that was done a moment ago."""
        now = self._clock.monotonic()
        before = self.state.refused_at.get(session.came_by, -math.inf)
        if now - before < min(self._timing.poll_interval, session.span):
            return False
        self.state.refused_at[session.came_by] = now
        tokens = session.tokens
        if session.came_by is Call.REFRESH:  # what it gives is refused: only a login can help
            tokens = replace(tokens, refresh_token=None)
        self.state.session = replace(session, tokens=tokens, renew_at=now, ends_at=now)
        return True

    def _current_backoff(self) -> Backoff | None:
        """The failure after which nobody may try again yet."""
        backoff = self.state.backoff
        if backoff is None or self._clock.monotonic() >= backoff.until:
            return None
        return backoff if backoff.password == self._known_password() else None

    def _known_password(self) -> str | ApiError | None:
        return self._password if isinstance(self._password, str) else self._password.content

    async def _newest_password(self) -> str | ApiError:
        if isinstance(self._password, str):
            return self._password
        return await self._password.update()

    def _try_password(self, news: Callable[[], None]) -> None:
        self._another_password.set()
        news()

    async def _renew_when_wanted(self, news: Callable[[], None]) -> None:
        while True:
            await self._renewal_wanted.wait()
            while (backoff := self._current_backoff()) is not None:
                wait = backoff.until - self._clock.monotonic()
                await self._clock.wait(self._another_password, wait)
                self._another_password.clear()
            await self._renew(news)
            self._renewal_wanted.clear()
            self._renewal_ended.set()
            self._renewal_ended = asyncio.Event()

    async def _renew(self, news: Callable[[], None]) -> None:
        """Try a refresh and, where it says no, a login: three attempts at the most."""
        password, came_by = self._known_password(), Call.REFRESH
        result = await self._refreshed()
        if result is None or (isinstance(result, ApiError) and result.reason not in UNREACHABLE):
            password, came_by = await self._newest_password(), Call.LOGIN
            result = await self._login_api.log_in(password)
        if isinstance(result, ApiError):
            self._start_backoff(result, password)
            return
        recovered = self.state.backoff is not None
        self.state.session, self.state.backoff = self._new_session(result, came_by), None
        if recovered:
            _log.info("login_recovered", account=self._account)
            news()

    async def _refreshed(self) -> TokenPair | ApiError | None:
        """What a refresh gives; None where there is nothing to refresh with."""
        held = None if self.state.session is None else self.state.session.tokens.refresh_token
        return None if held is None else await self._login_api.refresh(held)

    def _new_session(self, tokens: TokenPair, came_by: Call) -> LoginSession:
        now, life = self._clock.now(), lifetime(tokens.access_token)
        left = life.remaining(now.wall)
        if left is None or left < SHORTEST_LIFE:
            return LoginSession(tokens, came_by, life, math.inf, math.inf, math.inf)
        margin = min(LONGEST_MARGIN, left * MARGIN_SHARE)
        early = margin + self._chance.uniform(0, margin / 2)
        ends_at = now.monotonic + left
        return LoginSession(tokens, came_by, life, ends_at - early, ends_at, left)

    def _start_backoff(self, error: ApiError, password: str | ApiError | None) -> None:
        """Let nobody try again for a while, longer each time."""
        before = self.state.backoff
        if before is None or before.error.reason is not error.reason:
            facts = {"account": self._account, "reason": error.reason.value}
            _log.error("login_failed", **facts, message=error.message)
        times = 0 if before is None else before.times
        if error.reason is Reason.RATE_LIMITED:
            wait = pause_seconds(error.retry_after)
        elif error.reason.is_refusal:
            wait = self._timing.refusal_wait(times)
        else:
            wait = min(SHORT_WAIT * 2.0 ** min(times, 32), self._timing.poll_interval)
        until = self._clock.monotonic() + wait
        self.state.backoff = Backoff(error, until, times + 1, password)
