"""The calls that give a session: login with a password, refresh with a token.

Each makes one attempt; when to make it, and what a failure means for the next, is `login`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from exporter.model import ApiError, Reason
from exporter.upstream.credentials import is_token
from exporter.upstream.events import Call
from exporter.upstream.json_reader import json_object
from exporter.upstream.parsing import Parsed, server_message
from exporter.upstream.rate_limit import RateLimiter
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

        Nothing is sent where a fault says why there is no password.
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
        api_request = ApiRequest(call, "POST", f"/user/{call.value}", body, (secret,))
        result = await self._requester.attempt(api_request, parse_tokens)
        if isinstance(result, TokenPair):
            self._requester.secrets.add("access token", result.access_token)
            self._requester.secrets.add(Call.REFRESH, result.refresh_token or "")
        return result


def parse_tokens(body: bytes) -> Parsed[TokenPair]:
    """What the body of a 200 gives. One that is large has no token: it is MALFORMED."""
    return Parsed(_grant(body))


def _grant(body: bytes) -> TokenPair | ApiError:
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
