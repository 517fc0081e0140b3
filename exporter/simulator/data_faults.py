"""Trouble with the data: what can be wrong with, or unusual about, the rows of an answer.

Each function takes the rows as the API meant them and the call, and returns the rows to send.
Pure; rows are never changed in place. How answers travel is none of this module's business.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from exporter.simulator.call import Call
from exporter.simulator.time_and_chance import draw, pick
from exporter.simulator.timeline import ONLINE
from exporter.simulator.world import Row, unix_to_day

AlterRows: TypeAlias = Callable[[Sequence[Row], Call], list[Row]]

_CHURN_EVERY = 300.0  # seconds
_CHURN_SHARE = 0.3  # of nodes that are gone
_MISSING_SHARE = 0.25  # of fields

HOSTILE = (
    'quote " here',
    "back\\slash",
    "trailing backslash\\",
    "two\nlines",
    "carriage\r\nreturn",
    "nul\x00byte",
    "bell\x07 and escape\x1b[31m",
    "lone surrogate \ud800",
    "reversed pair \udc00\ud800",
    "</script><script>alert(1)</script>",
    '"} 1\nflashback_bucket_up{bucket_id="forged',
    "{{ .Labels }} %s %(x)s ${HOME}",
    "long " + "x" * 20_000,
    "snow ☃, smile 😀, combining é, right-to-left \u202eeman",
    "line separator \u2028, zero width \u200b, byte order mark \ufeff",
    " ",
    "",
)
"""Strings that have broken an exposition, a log line, a page or a terminal somewhere."""

EXTREME_NUMBERS = (float("nan"), float("inf"), float("-inf"), -1, -0.0, 100.1, 1e308, 10**400)
ODD_DATES = ("2024-01-15T10:30:00", "2024-02-30T00:00:00Z", "yesterday", "", 1705314600, "Z")
UNKNOWN_STATUSES = ("ERROR", "DEGRADED", "online", "MAINTENANCE", "Online ", "")


def same_rows(rows: Sequence[Row], _call: Call) -> list[Row]:
    """No trouble."""
    return list(rows)


def churned(rows: Sequence[Row], call: Call) -> list[Row]:
    """Some nodes gone, others every five minutes."""
    period = call.now // _CHURN_EVERY
    return [row for row in rows if draw(call.seed, "churn", row.get("ip"), period) >= _CHURN_SHARE]


def duplicated(rows: Sequence[Row], call: Call) -> list[Row]:
    """Each row twice under one identity, in mixed order, the copies with another latency."""
    copies = [row | {"last_latency_ms": 1.5, "avg_latency_ms": 2.5} for row in rows]
    return sorted(
        (*rows, *copies), key=lambda row: call.draw(row.get("ip"), row.get("last_latency_ms"))
    )


def hostile(rows: Sequence[Row], call: Call) -> list[Row]:
    """Hostile strings in host, version and status, the same for a node in each call."""
    return [
        row
        | {
            "host": f"{row.get('host')}{pick(HOSTILE, call.seed, 'host', row.get('ip'))}",
            "version": pick(HOSTILE, call.seed, "version", row.get("ip")),
            "node_status": pick(HOSTILE, call.seed, "status", row.get("ip")),
        }
        for row in rows
    ]


def empty_today(rows: Sequence[Row], call: Call) -> list[Row]:
    """Nothing for the running day."""
    return [] if _asks_for_today(call) else list(rows)


def half_filled_today(rows: Sequence[Row], call: Call) -> list[Row]:
    """Every other row for the running day."""
    return list(rows[::2]) if _asks_for_today(call) else list(rows)


def latency_null_while_down(rows: Sequence[Row], _call: Call) -> list[Row]:
    """No latencies for a node that is not online."""
    nothing: Row = {"avg_latency_ms": None, "last_latency_ms": None}
    return [row if row.get("node_status") == ONLINE else row | nothing for row in rows]


def without_status(rows: Sequence[Row], _call: Call) -> list[Row]:
    """No row says its status."""
    return [{name: value for name, value in row.items() if name != "node_status"} for row in rows]


def with_status_renamed(rows: Sequence[Row], _call: Call) -> list[Row]:
    """The status under another name, as after a careless release."""
    return [
        {"nodeStatus" if name == "node_status" else name: value for name, value in row.items()}
        for row in rows
    ]


def with_unknown_status(rows: Sequence[Row], call: Call) -> list[Row]:
    """Every other node in a status outside the known ones, the same in each call."""
    return [
        row | {"node_status": pick(UNKNOWN_STATUSES, call.seed, row.get("ip"))}
        if index % 2
        else row
        for index, row in enumerate(rows)
    ]


def with_missing_fields(rows: Sequence[Row], call: Call) -> list[Row]:
    """A quarter of all fields absent or null; the identity may be among them."""
    return [
        {
            name: value if call.draw(index, name) >= _MISSING_SHARE / 2 else None
            for name, value in row.items()
            if call.draw("absent", index, name) >= _MISSING_SHARE / 2
        }
        for index, row in enumerate(rows)
    ]


def with_numbers_as_strings(rows: Sequence[Row], _call: Call) -> list[Row]:
    """Each number in quotes, as elsewhere in this API."""
    return [
        {name: str(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]


def with_extreme_numbers(rows: Sequence[Row], call: Call) -> list[Row]:
    """Numbers that no node can have, some of them no JSON at all."""
    return [
        {
            name: call.pick(EXTREME_NUMBERS, index, name) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for index, row in enumerate(rows)
    ]


def with_odd_dates(rows: Sequence[Row], call: Call) -> list[Row]:
    """Dates without an offset, impossible ones, and what is no date."""
    return [row | {"last_updated": call.pick(ODD_DATES, index)} for index, row in enumerate(rows)]


def _asks_for_today(call: Call) -> bool:
    return call.day == unix_to_day(call.now)
