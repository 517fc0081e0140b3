"""Logs users in, issues and renews tokens, and checks them.

The state behind `POST /user/login` and `POST /user/refresh`. An access token is a JWT with a
meaningless signature.
"""

import json
import math
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from hashlib import blake2b

from exporter.simulator.calls import IssuedTokens, SimulatedResponse, json_response, refusal
from exporter.simulator.world import unix_to_text


class Mfa(Enum):
    """How the API responds to a login with a second factor. Each form is a guess.

    It is only known that such a login gives no usable token. The vendor's client suggests
    `PARTIAL`, because it distinguishes full-access tokens from others.
    """

    OFF = auto()  # no second factor: returns tokens
    CHALLENGED = auto()  # 200 with mfaRequired and without tokens
    REFUSED = auto()  # 403 with a message
    PARTIAL = auto()  # 200 with tokens that all other calls refuse with a 401


@dataclass(frozen=True, slots=True)
class User:
    """A user of the API."""

    email: str
    password: str = field(repr=False)
    workspaces: frozenset[str] | None = None  # None: all
    mfa: Mfa = Mfa.OFF

    def sees(self, workspace: str) -> bool:
        """Whether the user may see a workspace and its buckets."""
        return self.workspaces is None or workspace in self.workspaces


ANYONE = User("", "")
"""The user of an accepted token that was not issued here; sees everything."""


REFRESH_PREFIX = "REFRESH-"
"""The prefix of all refresh tokens, so that tests can search for leaks."""


class Spelling(Enum):
    """The accepted field names of the token: the client uses snake case, the docs camel case."""

    BOTH = ("refresh_token", "refreshToken")
    SNAKE = ("refresh_token",)
    CAMEL = ("refreshToken",)


class ExpiresAt(Enum):
    """The format of `expiresAt`, which the vendor does not document."""

    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    ISO = "iso"


@dataclass(frozen=True, slots=True)
class TokenRules:
    """How tokens are issued and renewed."""

    lifetime: float = 3600.0  # of an access token, in seconds
    refresh_lifetime: float = math.inf  # seconds
    rotates: bool = True  # a refresh token is valid once, and replaced by the next one
    spelling: Spelling = Spelling.BOTH
    expires_at: ExpiresAt = ExpiresAt.SECONDS
    delay: float = 0.0  # seconds before a login or a refresh is handled


def new_tokens(user: User, now: float, rules: TokenRules, *key: object) -> IssuedTokens:
    """New tokens for a user, different for each `key`."""
    expires_at = int(now + rules.lifetime)
    payload = {
        "userId": f"user-{_digest(user.email)[:12]}",
        "email": user.email,
        "orgId": "org-simulated",
        "iat": int(now),
        "exp": expires_at,
    }
    return IssuedTokens(
        email=user.email,
        access_token=_jwt(payload, *key),
        refresh_token=REFRESH_PREFIX + _digest("refresh", user.email, *key),
        token_id=_digest("id", user.email, *key)[:24],
        issued_at=now,
        expires_at=expires_at,
        refresh_expires_at=now + rules.refresh_lifetime,
    )


def tokens_response(tokens: IssuedTokens, form: ExpiresAt) -> SimulatedResponse:
    """The response with tokens. Only a login's has `tokenId`."""
    payload = {
        "success": True,
        "accessToken": tokens.access_token,
        "refreshToken": tokens.refresh_token,
        **({} if tokens.replaces else {"tokenId": tokens.token_id}),
        "expiresAt": _moment(tokens.expires_at, form),
    }
    return SimulatedResponse(200, json.dumps(payload).encode(), tokens=tokens)


def _moment(unix: int, form: ExpiresAt) -> int | str:
    if form is ExpiresAt.ISO:
        return unix_to_text(unix)
    return unix * 1000 if form is ExpiresAt.MILLISECONDS else unix


def _jwt(payload: dict[str, object], *key: object) -> str:
    content = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(payload)}"
    return f"{content}.{_encoded(bytes.fromhex(_digest(content, *key)))}"


def _part(payload: dict[str, object]) -> str:
    return _encoded(json.dumps(payload, separators=(",", ":")).encode())


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _digest(*key: object) -> str:
    return blake2b(repr(key).encode(), digest_size=32).hexdigest()


_WITHOUT_SECOND_FACTOR = {
    Mfa.CHALLENGED: json_response(200, {"success": True, "mfaRequired": True}),
    Mfa.REFUSED: refusal(403, "Multi-factor authentication is required"),
}


class TokenServer:
    """Logs users in and renews their tokens. `users` and `rules` may be replaced at any time.

    Tokens become valid when their response is sent: a lost or replaced response changes nothing.
    The error bodies are guesses, modelled on other errors of the API.
    """

    def __init__(self, seed: int, users: Iterable[User], rules: TokenRules) -> None:
        self.users = tuple(users)
        self.rules = rules
        self._seed = seed
        self._made: Counter[str] = Counter()
        self._access: dict[str, IssuedTokens] = {}
        self._refresh: dict[str, IssuedTokens] = {}
        self._revoked: set[str] = set()

    def login(self, fields: Mapping[str, object], now: float) -> SimulatedResponse:
        """Tokens, 400, 401, or the response for the user's `Mfa`."""
        email, password = fields.get("email"), fields.get("password")
        if not (isinstance(email, str) and isinstance(password, str)):
            return refusal(400, "Email and password are required")
        user = self._user(email)
        if user is None or user.password != password:
            return refusal(401, "Invalid email or password")
        if user.mfa in _WITHOUT_SECOND_FACTOR:
            return _WITHOUT_SECOND_FACTOR[user.mfa]
        return tokens_response(self._new(user, now), self.rules.expires_at)

    def refresh(self, fields: Mapping[str, object], now: float) -> SimulatedResponse:
        """Tokens, 400 or 401."""
        token = self.refresh_token(fields)
        if token is None:
            return refusal(400, f"{' or '.join(self.rules.spelling.value)} is required")
        used = self._refresh.get(token)
        user = self._user(used.email) if used else None
        if not (used and user) or token in self._revoked or now >= used.refresh_expires_at:
            return refusal(401, "Invalid or expired refresh token")
        tokens = replace(self._new(user, now), replaces=token)
        if not self.rules.rotates:
            kept = used.refresh_expires_at
            tokens = replace(tokens, refresh_token=token, refresh_expires_at=kept)
        return tokens_response(tokens, self.rules.expires_at)

    def refresh_token(self, fields: Mapping[str, object]) -> str | None:
        """The refresh token in a body, if it has an accepted name."""
        found = (fields.get(name) for name in self.rules.spelling.value)
        return next((token for token in found if isinstance(token, str)), None)

    def hand_out(self, tokens: IssuedTokens) -> None:
        """Make these tokens valid, and invalidate the refresh token that they replace."""
        self._access[tokens.access_token] = tokens
        if tokens.replaces:
            self._refresh.pop(tokens.replaces, None)
        self._refresh[tokens.refresh_token] = tokens

    def revoke(self, token: str) -> None:
        """Invalidate any token, issued here or not."""
        self._revoked.add(token)

    def whose(self, token: str) -> str:
        """The e-mail address of a token's user, or the token itself if it was not issued here."""
        tokens = self._access.get(token) or self._refresh.get(token)
        return tokens.email if tokens else token

    def caller(self, token: str, now: float, others: Collection[str] | None) -> User | None:
        """The user of an access token; None if it is not accepted.

        Accepts tokens issued here and those in `others`. If that is None and there are no users,
        accepts any token.
        """
        if not token or token in self._revoked:
            return None
        if token in others if others is not None else not self.users:
            return ANYONE
        tokens = self._access.get(token)
        if tokens is None or now >= tokens.expires_at:
            return None
        user = self._user(tokens.email)
        return user if user and user.mfa is Mfa.OFF else None

    def _user(self, email: str) -> User | None:
        return next((user for user in self.users if user.email == email), None)

    def _new(self, user: User, now: float) -> IssuedTokens:
        self._made[user.email] += 1
        return new_tokens(user, now, self.rules, self._seed, self._made[user.email])
