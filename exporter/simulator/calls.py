"""Calls of the API and their responses, as values.

Pure: `server` and `delivery` deal with aiohttp's objects, `response_faults` with faults.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, TypeVar

from exporter.simulator.world import Row, draw, pick

_T = TypeVar("_T")


class CallKind(StrEnum):
    """The calls of the API."""

    STATS = "stats"
    LIST = "list"
    LOGIN = "login"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call as faults see it. `bucket` and `day` are set for stats, `whose` for other calls."""

    seed: int
    bucket: str
    number: int  # from 0, per kind and bucket or user, so that calls for others do not change it
    now: float  # Unix time: simulated time while scenarios are selected, then the server's clock
    day: date | None  # None: not a stats call, or an invalid date
    kind: CallKind = CallKind.STATS
    whose: str = ""  # the user's e-mail address, or the token if it has no user
    token: str = field(default="", repr=False)  # the bearer token; empty without one
    workspace: str = ""  # the workspace to list; empty: all
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)  # of the JSON body

    def draw(self, *key: object) -> float:
        """A random number in [0, 1) that depends only on this call and the key."""
        return draw(*self._key, *key)

    def pick(self, options: Sequence[_T], *key: object) -> _T:
        return pick(options, *self._key, *key)

    @property
    def _key(self) -> tuple[object, ...]:
        if self.kind is CallKind.STATS:
            return (self.seed, self.bucket, self.number)
        return (self.seed, self.kind.value, self.whose, self.number)


JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """Tokens that a login or a refresh issued together."""

    email: str
    access_token: str
    refresh_token: str
    token_id: str
    issued_at: float  # Unix time by the server's clock, as are the other times
    expires_at: int  # the access token's `exp`
    refresh_expires_at: float
    replaces: str | None = None  # the refresh token that was used; None for a login


@dataclass(frozen=True, slots=True)
class SimulatedResponse:
    """An HTTP response. `rows` and `tokens` are copies of the nodes and tokens in its body."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[Row, ...] | None = None
    tokens: IssuedTokens | None = None


def json_response(status: int, payload: object) -> SimulatedResponse:
    """A response with any JSON, in ASCII, so that it can contain lone surrogates."""
    return SimulatedResponse(status, json.dumps(payload).encode())


def stats_response(rows: Sequence[Row]) -> SimulatedResponse:
    """The documented 200 response for stats."""
    payload = {"success": True, "nodeStats": list(rows)}
    return SimulatedResponse(200, json.dumps(payload).encode(), rows=tuple(rows))


def listing_response(entries: Sequence[Row]) -> SimulatedResponse:
    return json_response(200, {"success": True, "buckets": list(entries)})


def refusal(status: int, message: str) -> SimulatedResponse:
    """The documented form of 400, 403 and 404 responses."""
    return json_response(status, {"success": False, "message": message})


def body_to_fields(body: bytes) -> dict[str, Any]:
    """The fields of a JSON object; empty if the body is not one."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def fields_to_day(fields: Mapping[str, Any]) -> date | None:
    """The UTC day in a stats request; None if the date is missing or invalid."""
    try:
        moment = datetime.fromisoformat(fields["day"])
        # As in JavaScript, a date without a time is UTC. Here a time without an offset is UTC too.
        return moment.astimezone(UTC).date() if moment.tzinfo else moment.date()
    except (ValueError, LookupError, TypeError, OverflowError):
        return None
