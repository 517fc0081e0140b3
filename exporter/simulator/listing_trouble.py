"""Trouble with the list of buckets: entries that no one can use, and bodies that are no list.

Pure, and of the same forms as `data_faults` and `response_faults`: to these, entries are rows.
"""

import json
from collections.abc import Sequence

from exporter.simulator.buckets import ACCESS_KEY_PREFIX, SECRET_PREFIX, WORKSPACE
from exporter.simulator.call import Call
from exporter.simulator.calls import Answer
from exporter.simulator.data_faults import HOSTILE
from exporter.simulator.world import Row

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
"""Entries with something wrong or unusual; most with secrets, as real ones have."""

_WRONG_SHAPES: tuple[object, ...] = (
    None,
    [],
    "buckets",
    42,
    {},
    {"success": True},
    {"success": True, "buckets": None},
    {"success": True, "buckets": {"id": "a"}},
    {"success": True, "buckets": "none"},
    {"success": True, "buckets": [1, None, "x", [], True]},
    {"success": True, "units": []},
    {"success": False},
    {"success": False, "buckets": [], "message": "Buckets are not available"},
)
MALFORMED = (
    b"",
    b"OK",
    b'{"success":true,"buck',
    b"\xff\xfe\x00",
    *(json.dumps(shape).encode() for shape in _WRONG_SHAPES),
)
"""Bodies that are no list of buckets: no JSON, JSON of another shape, and `success: false`."""


def emptied(_entries: Sequence[Row], _call: Call) -> list[Row]:
    """No buckets."""
    return []


def with_odd_entries(entries: Sequence[Row], _call: Call) -> list[Row]:
    """The true entries, the first of them once more under another name, and odd ones."""
    return [*entries, *(entry | {"name": "duplicate"} for entry in entries[:1]), *ODD_ENTRIES]


def malformed(_answer: Answer, call: Call) -> Answer:
    """200, said to be JSON, with anything but a list of buckets."""
    return Answer(200, call.pick(MALFORMED, "form"))
