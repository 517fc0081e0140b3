"""Credentials that log in and renew themselves.

Decides when to log in or refresh, and how long to back off after a failure. There is one renewal at
a time per account; everything that needs a token waits for it, so a failure counts once. A caller
whose token was refused calls `refresh`: responses to polls are not seen here.
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

LOGIN_REFUSED = "the login was refused"

RESPONSE_WITHOUT_TOKEN = ApiError(
    Reason.UNAUTHORIZED,
    "the response has no token, for example because the user has MFA enabled:"
    " use a user without MFA, or authorization.credentials_file",
)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The tokens from a login or a refresh."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)


class LoginApi:
    """The login and refresh calls of one user."""

    def __init__(self, email: str, *, requester: Requester, rate_limiter: RateLimiter) -> None:
        self._email = email
        self._requester = requester
        self._rate_limiter = rate_limiter
        # The vendor's client sends the first name; the vendor's documentation has the second.
        self._spellings = ["refresh_token", "refreshToken"]

    async def log_in(self, password: str | ApiError) -> TokenPair | ApiError:
        """Log in with the password. Any refusal has the reason UNAUTHORIZED.

        If `password` is an error, it is returned and nothing is sent.
        """
        if isinstance(password, ApiError):
            self._requester.not_sent(Call.LOGIN, password)
            return password
        result = await self._ask(Call.LOGIN, {"email": self._email, "password": password}, password)
        if isinstance(result, ApiError) and result.reason.is_refusal:
            return ApiError(Reason.UNAUTHORIZED, f"{LOGIN_REFUSED}: {result.message}")
        return result

    async def refresh(self, refresh_token: str) -> TokenPair | ApiError:
        """Get new tokens. If the response has no new refresh token, the old one stays in use."""
        result: TokenPair | ApiError = RESPONSE_WITHOUT_TOKEN
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
        # Any 2xx: a login creates a session, and gateways return 201 or 203 for it.
        api_request = ApiRequest(call, "POST", f"/user/{call.value}", body, (secret,), any_2xx=True)
        result = await self._requester.attempt(api_request, parse_tokens)
        if isinstance(result, TokenPair):
            self._requester.secrets.add("access token", result.access_token)
            self._requester.secrets.add(Call.REFRESH, result.refresh_token or "")
        return result


def parse_tokens(body: bytes) -> Parsed[TokenPair]:
    """Parse the body of a 2xx. A large body is MALFORMED: a login response is small."""
    return Parsed(_token_pair(body))


def _token_pair(body: bytes) -> TokenPair | ApiError:
    answer = json_object(body)
    if answer is None:
        return ApiError(Reason.MALFORMED, "the response is not a JSON object")
    if answer.get("success") is False:
        return ApiError(
            Reason.UNAUTHORIZED, server_message(body) or "the response says success: false"
        )
    access, refresh = answer.get("accessToken"), answer.get("refreshToken")
    if not isinstance(access, str) or not is_token(access):
        return RESPONSE_WITHOUT_TOKEN
    return TokenPair(access, refresh if isinstance(refresh, str) and refresh else None)


LONGEST_MARGIN = 300.0
"""Maximum margin: seconds from renewal to expiry. A random extra of up to half is added to it."""

MARGIN_SHARE = 0.2
"""For a short-lived token: the margin as a share of its remaining lifetime when received."""

SHORT_WAIT = 5.0
"""Backoff in seconds after a renewal's first transient failure; doubles with each further one."""

SHORTEST_LIFE = 1.0
"""A token with fewer seconds left is treated as one without an expiry time."""

NO_LOGIN_AFTER = {Reason.CONNECT, Reason.TLS, Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.INTERNAL}
"""After a refresh failed for one of these reasons, a login is not tried: it would fail too."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LoginSession:
    """Tokens and when to renew them; times are infinite if the token has no expiry."""

    tokens: TokenPair
    obtained_by: Call  # LOGIN or REFRESH
    life: Lifetime
    renew_at: float  # monotonic seconds
    ends_at: float  # monotonic seconds
    span: float  # remaining lifetime in seconds when received


@dataclass(frozen=True, slots=True)
class Backoff:
    """A failed renewal, and until when no other is tried."""

    error: ApiError
    until: float  # monotonic seconds
    times: int  # in a row
    password: str | ApiError | None = field(repr=False)  # the one that was used


@dataclass(slots=True)
class LoginState:
    """What a reload takes over from the credentials before it."""

    session: LoginSession | None = None
    backoff: Backoff | None = None
    refused_at: dict[Call, float] = field(default_factory=dict)
    """By call: when a session from it last ended because of a 401; monotonic seconds."""


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
        rng: Random,
    ) -> None:
        self._account = account
        self._password = password
        self._login_api = LoginApi(email, requester=requester, rate_limiter=rate_limiter)
        self._timing = timing
        self._clock = clock
        self._rng = rng
        self.state = LoginState()
        self._renewal_wanted = asyncio.Event()
        self._renewal_ended = asyncio.Event()  # set when a renewal ends, then replaced
        self._password_changed = asyncio.Event()

    async def run(self, on_change: Callable[[], None]) -> None:
        """Renew the tokens on demand, until cancelled.

        `on_change` is called when a login works again after a failure, and when the password has
        changed. An ordinary renewal is not reported: the new token has the same permissions.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew_when_wanted(on_change))
            if isinstance(self._password, SecretFile):
                group.create_task(self._password.watch(lambda: self._try_password(on_change)))

    def resume(self, previous: object) -> None:
        """Take over the session or the backoff of a login of the same user."""
        if isinstance(previous, LoginCredentials):
            self.state = previous.state
            self._password = previous._password  # noqa: SLF001 - of the same class

    async def token(self, waiting: Waiting = nullcontext) -> str:
        """A token that has not expired. Raises NoToken.

        May take as long as a renewal. A caller that times out stops waiting; the renewal continues.
        """
        token = self._current_token()
        if token is None:
            async with waiting():
                token = await self._renewed_token()
        return token

    def _current_token(self) -> str | None:
        """The token until it expires, else None.

        If the token is due for renewal, the renewal starts in the background.
        """
        session, now = self.state.session, self._clock.monotonic()
        if session is None or now >= session.ends_at:
            return None
        if now >= session.renew_at:
            self._renewal_wanted.set()
        return session.tokens.access_token

    async def _renewed_token(self) -> str:
        if self._current_backoff() is not None:
            self._renewal_wanted.set()  # to try again after the backoff
        while (token := self._current_token()) is None:
            backoff = self._current_backoff()
            if backoff is not None:
                raise NoToken(backoff.error)
            self._renewal_wanted.set()
            await self._renewal_ended.wait()
        return token

    async def refresh(self, refused: str) -> str | None:
        """A token other than `refused`, or None. Raises NoToken.

        A refused token from a login leads to a refresh, one from a refresh to a login. Each happens
        at most once per poll interval, or per token lifetime if that is shorter.
        """
        session, current = self.state.session, self._current_token()
        if session is not None and current == refused and not self._end_session(session):
            return None
        return await self._renewed_token()

    def expiry(self) -> float | None:
        return None if self.state.session is None else self.state.session.life.expiry

    def _end_session(self, session: LoginSession) -> bool:
        """End a session whose token was refused; False if the last one ended too recently."""
        now = self._clock.monotonic()
        before = self.state.refused_at.get(session.obtained_by, -math.inf)
        if now - before < min(self._timing.poll_interval, session.span):
            return False
        self.state.refused_at[session.obtained_by] = now
        tokens = session.tokens
        if (
            session.obtained_by is Call.REFRESH
        ):  # a refreshed token was refused: only a login can help
            tokens = replace(tokens, refresh_token=None)
        self.state.session = replace(session, tokens=tokens, renew_at=now, ends_at=now)
        return True

    def _current_backoff(self) -> Backoff | None:
        """The backoff in effect, or None.

        It no longer counts once the password has changed.
        """
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

    def _try_password(self, on_change: Callable[[], None]) -> None:
        self._password_changed.set()
        on_change()

    async def _renew_when_wanted(self, on_change: Callable[[], None]) -> None:
        while True:
            await self._renewal_wanted.wait()
            while (backoff := self._current_backoff()) is not None:
                wait = backoff.until - self._clock.monotonic()
                await self._clock.wait(self._password_changed, wait)
                self._password_changed.clear()
            await self._renew(on_change)
            self._renewal_wanted.clear()
            self._renewal_ended.set()
            self._renewal_ended = asyncio.Event()

    async def _renew(self, on_change: Callable[[], None]) -> None:
        """Try a refresh and, if that fails, a login: at most three requests."""
        password, obtained_by = self._known_password(), Call.REFRESH
        result = await self._refreshed()
        if result is None or (isinstance(result, ApiError) and result.reason not in NO_LOGIN_AFTER):
            password, obtained_by = await self._newest_password(), Call.LOGIN
            result = await self._login_api.log_in(password)
        if isinstance(result, ApiError):
            self._start_backoff(result, password)
            return
        recovered = self.state.backoff is not None
        self.state.session, self.state.backoff = self._new_session(result, obtained_by), None
        if recovered:
            _log.info("login_recovered", account=self._account)
            on_change()

    async def _refreshed(self) -> TokenPair | ApiError | None:
        """The result of a refresh; None if there is no refresh token."""
        held = None if self.state.session is None else self.state.session.tokens.refresh_token
        return None if held is None else await self._login_api.refresh(held)

    def _new_session(self, tokens: TokenPair, obtained_by: Call) -> LoginSession:
        now, life = self._clock.now(), lifetime(tokens.access_token)
        left = life.remaining(now.wall)
        if left is None or left < SHORTEST_LIFE:
            return LoginSession(tokens, obtained_by, life, math.inf, math.inf, math.inf)
        margin = min(LONGEST_MARGIN, left * MARGIN_SHARE)
        early = margin + self._rng.uniform(0, margin / 2)
        ends_at = now.monotonic + left
        return LoginSession(tokens, obtained_by, life, ends_at - early, ends_at, left)

    def _start_backoff(self, error: ApiError, password: str | ApiError | None) -> None:
        """Start a backoff that grows with each failure in a row."""
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
