"""What a bearer token is, and what it says of its own life. Pure.

Flashback's access tokens are JWTs. Nobody here can verify their signature, nor has to: the claims
are only used to renew in time and to tell people when.
"""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64decode
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a token was issued and when it ends, Unix time; None where it does not say."""

    issued: float | None = None
    expiry: float | None = None

    def remaining(self, wall: float) -> float | None:
        """Seconds that a token received at `wall` has left; None where that cannot be known.

        Where this machine's clock contradicts the token, the token's own span counts.
        """
        if self.expiry is None:
            return None
        left = self.expiry - wall
        span = math.inf if self.issued is None else self.expiry - self.issued
        if 0 < left <= span:
            return left
        return span if 0 < span < math.inf else None


def is_token(text: str) -> bool:
    """Whether `text` can stand behind `Authorization: Bearer`."""
    return text.isascii() and text.isprintable() and bool(text) and " " not in text


def lifetime(token: str) -> Lifetime:
    """What a token says in `iat` and `exp` (RFC 7519); nothing where it is no JWT."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return Lifetime()
    if not isinstance(claims, dict):
        return Lifetime()
    return Lifetime(_date(claims.get("iat")), _date(claims.get("exp")))


def _date(claim: object) -> float | None:
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        return None
    return float(claim) if 0 <= claim < _END_OF_TIME else None


_END_OF_TIME = 1e11
"""Beyond this a claim is no number of seconds."""
