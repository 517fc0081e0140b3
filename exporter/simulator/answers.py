"""Answers as values, and what the API says when nothing troubles it.

Pure: requests have been read already, and `delivery` sends. Trouble with answers lives in
`answer_trouble`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.simulator.world import Row

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. `rows` is what its body says of the nodes, where it does say that."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[Row, ...] | None = None


def json_answer(status: int, payload: object) -> Answer:
    """Any JSON under any status. Beyond ASCII all is escaped, so lone surrogates can be said."""
    return Answer(status, json.dumps(payload).encode())


def stats_answer(rows: Sequence[Row]) -> Answer:
    """The answer that the vendor's page documents under 200."""
    payload = {"success": True, "nodeStats": list(rows)}
    return Answer(200, json.dumps(payload).encode(), rows=tuple(rows))


def refusal(status: int, message: str) -> Answer:
    """The answer that the vendor's page documents under 400, 403 and 404."""
    return json_answer(status, {"success": False, "message": message})


def body_to_day(body: bytes) -> date | None:
    """The UTC day that a stats request asks for; None where the API finds no valid date."""
    try:
        payload: Any = json.loads(body)
        moment = datetime.fromisoformat(payload["day"])
        # As in JavaScript, a date without a time is UTC; so is a time without an offset here.
        return moment.astimezone(UTC).date() if moment.tzinfo else moment.date()
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None
