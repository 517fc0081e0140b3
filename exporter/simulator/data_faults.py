"""Faults and rare cases in the data: nodes, their rows, entries of a list response.

A function takes a world and returns a changed one. Or it takes the correct rows or entries and the
call, and returns those to send. Pure; rows are never changed in place.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from exporter.simulator.buckets import ACCESS_KEY_PREFIX, SECRET_PREFIX, WORKSPACE
from exporter.simulator.calls import ApiCall
from exporter.simulator.world import (
    HUNDREDS_OF_MACHINES,
    OFFLINE,
    ONLINE,
    PRIVATE_MACHINES,
    Denominator,
    HourlyEvent,
    Row,
    World,
    draw,
    pick,
    unix_to_day,
)

AlterWorld: TypeAlias = Callable[[World], World]


def same_world(world: World) -> World:
    return world


def node_down(world: World) -> World:
    return _with_event(world, HourlyEvent("us-east-1-aws", 10, 20, status=OFFLINE))


def region_slow(world: World) -> World:
    return _with_event(world, HourlyEvent("eu-central-1", 30, 40, slowness=8.0))


def private_too(world: World) -> World:
    return replace(world, machines=world.machines + PRIVATE_MACHINES)


def crowded(world: World) -> World:
    return replace(world, machines=world.machines + HUNDREDS_OF_MACHINES)


def by_whole_day(world: World) -> World:
    """Make today's uptime a share of the whole day, so that it grows from 0 towards 100."""
    return replace(world, denominator=Denominator.WHOLE_DAY)


def _with_event(world: World, event: HourlyEvent) -> World:
    return replace(world, events=(*world.events, event))


AlterRows: TypeAlias = Callable[[Sequence[Row], ApiCall], list[Row]]

_CHURN_EVERY = 300.0  # seconds
_CHURN_SHARE = 0.3  # of nodes that are missing
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
    "line ends \v \f \x1c \x1d \x1e \x85 \u2028 \u2029, zero width \u200b, byte order mark \ufeff",
    " ",
    "",
)
"""Kinds of strings that have broken expositions, logs, pages or terminals."""

EXTREME_NUMBERS = (float("nan"), float("inf"), float("-inf"), -1, -0.0, 100.1, 1e308, 10**400)
ODD_DATES = ("2024-01-15T10:30:00", "2024-02-30T00:00:00Z", "yesterday", "", 1705314600, "Z")
UNKNOWN_STATUSES = ("ERROR", "DEGRADED", "online", "MAINTENANCE", "Online ", "")


def same_rows(rows: Sequence[Row], _call: ApiCall) -> list[Row]:
    return list(rows)


def churned(rows: Sequence[Row], call: ApiCall) -> list[Row]:
    """Remove some nodes, different ones every five minutes."""
    period = call.now // _CHURN_EVERY
    return [row for row in rows if draw(call.seed, "churn", row.get("ip"), period) >= _CHURN_SHARE]


def duplicated(rows: Sequence[Row], call: ApiCall) -> list[Row]:
    """Send each row twice in random order, with other latencies in the copy."""
    copies = [row | {"last_latency_ms": 1.5, "avg_latency_ms": 2.5} for row in rows]
    return sorted(
        (*rows, *copies), key=lambda row: call.draw(row.get("ip"), row.get("last_latency_ms"))
    )


def hostile(rows: Sequence[Row], call: ApiCall) -> list[Row]:
    """Put hostile strings into host, version and status. A node keeps its strings in all calls."""
    return [
        row
        | {
            "host": f"{row.get('host')}{pick(HOSTILE, call.seed, 'host', row.get('ip'))}",
            "version": pick(HOSTILE, call.seed, "version", row.get("ip")),
            "node_status": pick(HOSTILE, call.seed, "status", row.get("ip")),
        }
        for row in rows
    ]


def empty_today(rows: Sequence[Row], call: ApiCall) -> list[Row]:
    return [] if _asks_for_today(call) else list(rows)


def empty_past(rows: Sequence[Row], call: ApiCall) -> list[Row]:
    return list(rows) if _asks_for_today(call) else []


def half_filled_today(rows: Sequence[Row], call: ApiCall) -> list[Row]:
    """Send only every other row for today."""
    return list(rows[::2]) if _asks_for_today(call) else list(rows)


def latency_null_while_down(rows: Sequence[Row], _call: ApiCall) -> list[Row]:
    """Send no latencies for nodes that are not online."""
    nothing: Row = {"avg_latency_ms": None, "last_latency_ms": None}
    return [row if row.get("node_status") == ONLINE else row | nothing for row in rows]


def without_status(rows: Sequence[Row], _call: ApiCall) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "node_status"} for row in rows]


def with_status_renamed(rows: Sequence[Row], _call: ApiCall) -> list[Row]:
    """Call the field `nodeStatus`, as after a careless release."""
    return [
        {"nodeStatus" if name == "node_status" else name: value for name, value in row.items()}
        for row in rows
    ]


def with_unknown_status(rows: Sequence[Row], call: ApiCall) -> list[Row]:
    """Give every other node an unknown status, the same in all calls."""
    return [
        row | {"node_status": pick(UNKNOWN_STATUSES, call.seed, row.get("ip"))}
        if index % 2
        else row
        for index, row in enumerate(rows)
    ]


def with_missing_fields(rows: Sequence[Row], call: ApiCall) -> list[Row]:
    """Drop a quarter of all fields or make them null, including ip and host."""
    return [
        {
            name: value if call.draw(index, name) >= _MISSING_SHARE / 2 else None
            for name, value in row.items()
            if call.draw("absent", index, name) >= _MISSING_SHARE / 2
        }
        for index, row in enumerate(rows)
    ]


def with_numbers_as_strings(rows: Sequence[Row], _call: ApiCall) -> list[Row]:
    """Send each number as a string, as other calls of this API do."""
    return [
        {name: str(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]


def with_extreme_numbers(rows: Sequence[Row], call: ApiCall) -> list[Row]:
    """Send impossible numbers, some of which are not valid JSON."""
    return [
        {
            name: call.pick(EXTREME_NUMBERS, index, name) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for index, row in enumerate(rows)
    ]


def with_odd_dates(rows: Sequence[Row], call: ApiCall) -> list[Row]:
    """Send dates without an offset, impossible dates, and values that are not dates."""
    return [row | {"last_updated": call.pick(ODD_DATES, index)} for index, row in enumerate(rows)]


def _asks_for_today(call: ApiCall) -> bool:
    return call.day == unix_to_day(call.now)


_USUAL: Row = {
    "bucket": "odd",
    "storageType": "S3",
    "key": f"{ACCESS_KEY_PREFIX}0DD",
    "secret": {"message": f"{SECRET_PREFIX}odd"},
    "createdAt": "2023-06-01T00:00:00Z",
    "workspaceId": WORKSPACE,
}
_ODD: tuple[Row, ...] = (
    {"name": "no id"},
    {"id": None, "name": "null as id"},
    {"id": "", "name": "nothing as id"},
    {"id": 42, "name": "a number as id"},
    {"id": ["odd"], "name": "a list as id"},
    {"id": ".", "name": "a dot as id"},
    {"id": "..", "name": "two dots as id"},
    {"id": "odd/..?a=b#c%2F ", "name": "an id to be encoded"},
    {"id": "odd-no-name"},
    {"id": "odd-null-name", "name": None},
    {"id": "odd-number-name", "name": 7},
    {"id": "odd-list-name", "name": ["a"]},
    {
        "id": "odd-numbers",
        "name": "numbers",
        "workspaceId": 1,
        "createdAt": 1685577600,
        "bucket": 0,
    },
)
ODD_ENTRIES: tuple[Row, ...] = (
    {},
    *(_USUAL | odd for odd in _ODD),
    *(_USUAL | {"id": f"odd-hostile-{n}", "name": text} for n, text in enumerate(HOSTILE)),
    *(_USUAL | {"id": f"odd {text}", "name": f"hostile id {n}"} for n, text in enumerate(HOSTILE)),
)
"""Invalid or unusual entries. Most contain secrets, as real ones do."""


def emptied(_entries: Sequence[Row], _call: ApiCall) -> list[Row]:
    return []


def with_odd_entries(entries: Sequence[Row], _call: ApiCall) -> list[Row]:
    """Send the correct entries, a duplicate of the first with another name, and odd ones."""
    return [*entries, *(entry | {"name": "duplicate"} for entry in entries[:1]), *ODD_ENTRIES]
