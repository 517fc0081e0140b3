"""Tokens: how they look, how long they are good for, and the answers that carry them.

Pure. An access token is a JWT that anyone can read, and whose signature means nothing; which
tokens are good at a moment is `token_server`'s to know.
"""

import json
import math
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b

from exporter.simulator.calls import Answer, Grant
from exporter.simulator.users import User
from exporter.simulator.world import unix_to_text

REFRESH_PREFIX = "REFRESH-"
"""What each refresh token begins with, so that a leak can be searched for."""


class Spelling(Enum):
    """The names under which a refresh token is accepted: the client says snake, the docs camel."""

    BOTH = ("refresh_token", "refreshToken")
    SNAKE = ("refresh_token",)
    CAMEL = ("refreshToken",)


class ExpiresAt(Enum):
    """What `expiresAt` is written as: the vendor does not say."""

    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    ISO = "iso"


@dataclass(frozen=True, slots=True)
class TokenRules:
    """How tokens are issued and renewed."""

    lifetime: float = 3600.0  # seconds that an access token is good for
    refresh_lifetime: float = math.inf  # seconds
    rotates: bool = True  # each refresh token can be used once, and brings the next
    spelling: Spelling = Spelling.BOTH
    expires_at: ExpiresAt = ExpiresAt.SECONDS
    delay: float = 0.0  # seconds before a login or a refresh is looked at


def new_grant(user: User, now: float, rules: TokenRules, *key: object) -> Grant:
    """Tokens for a user; `key` tells them from all others."""
    expires_at = int(now + rules.lifetime)
    payload = {
        "userId": f"user-{_digest(user.email)[:12]}",
        "email": user.email,
        "orgId": "org-simulated",
        "iat": int(now),
        "exp": expires_at,
    }
    return Grant(
        email=user.email,
        access_token=_jwt(payload, *key),
        refresh_token=REFRESH_PREFIX + _digest("refresh", user.email, *key),
        token_id=_digest("id", user.email, *key)[:24],
        issued_at=now,
        expires_at=expires_at,
        refresh_expires_at=now + rules.refresh_lifetime,
    )


def grant_answer(grant: Grant, form: ExpiresAt) -> Answer:
    """The answer that hands tokens over; only a login's says `tokenId`."""
    payload = {
        "success": True,
        "accessToken": grant.access_token,
        "refreshToken": grant.refresh_token,
        **({} if grant.replaces else {"tokenId": grant.token_id}),
        "expiresAt": _moment(grant.expires_at, form),
    }
    return Answer(200, json.dumps(payload).encode(), grant=grant)


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
