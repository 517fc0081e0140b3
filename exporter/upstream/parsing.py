"""Parses the responses of the API: a day's nodes or an error, and the schema drift.

Pure. Nothing in a response makes this raise, and no invalid value becomes a number. A value that is
absent or null is left out; an invalid one is left out and counted as drift. The fields are
documented on the vendor's page on `POST /bucket/{bucketId}/stats`.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Generic, TypeVar

from exporter.model import MAX_LABEL_LENGTH, ApiError, DayStats, Node, Reason
from exporter.upstream.events import NODE_FIELDS, OTHER_FIELD, Drift, DriftKind
from exporter.upstream.json_reader import JsonObject, json_object, object_with_list

MAX_MESSAGE_LENGTH = 200
"""Characters of a server's message in logs and errors."""

_MESSAGE_LENGTH_READ = 2000

UPTIME_ROUNDING = 0.01
"""Uptime values up to this many percentage points below 0 or above 100 count as rounding errors."""

ROWS_PER_NODE = 10
"""Rows that are read per allowed node, including duplicates and unusable rows."""

LONGEST_NUMBER = 400
"""Characters of a number in a string; the largest float has 309 digits."""

LONGEST_DATE = 64
"""Characters; a date-time with nanoseconds and an offset has 35."""

_KNOWN_RESPONSE_FIELDS = frozenset({"success", "message", "error", "error_code"})
_KNOWN_NODE_FIELDS = frozenset(NODE_FIELDS)
_MOST = sys.float_info.max

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_LEAP_SECOND = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:)60((?:\.\d+)?(?:Z|[+-]\d\d:\d\d))", re.ASCII
)
_NOT_IN_LABELS = re.compile("[\x00\r\v\f\x1c-\x1e\x85\u2028\u2029\ud800-\udfff]")
"""Characters that are replaced in label values: invalid ones, and line ends other than LF.

Prometheus accepts those line ends, but a reader that splits a page at them, such as Datadog's
agent, fails on the whole page.
"""


@dataclass(frozen=True, slots=True)
class ResponseLimits:
    """The known statuses, and limits for a response."""

    known_statuses: Collection[str]
    max_nodes: int


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T_co]):
    """The result of parsing a response, and the schema drift in it."""

    result: T_co | ApiError
    drift: Counter[Drift] = field(default_factory=Counter)


def parse_stats(body: bytes, day: date, response_limits: ResponseLimits) -> Parsed[DayStats]:
    """Parse the body of a 200. Errors are MALFORMED, UNSUCCESSFUL or TOO_MANY_NODES."""
    drift: Counter[Drift] = Counter()
    nodes = parse_list(body, "nodeStats", lambda rows: _nodes(rows, response_limits, drift), drift)
    return Parsed(nodes if isinstance(nodes, ApiError) else DayStats(day, nodes), drift)


def parse_list(
    body: bytes, name: str, read: Callable[[Iterable[object]], T | ApiError], drift: Counter[Drift]
) -> T | ApiError:
    """The result of `read` for the list `name` in the body of a 200, or an error."""
    made: list[T | ApiError] = []
    answer = object_with_list(body, name, lambda elements: made.append(read(elements)))
    if answer is None:
        return ApiError(Reason.MALFORMED, "the response is not a JSON object")
    error = _response_error(answer, name, drift)
    if error is not None:
        return error
    _count_unknown_fields(answer, _KNOWN_RESPONSE_FIELDS | {name}, drift)
    return made[-1]  # the last one if the key is repeated, as in other JSON parsers


def server_message(body: bytes) -> str:
    """The message in an error response: one printable line, empty if there is none."""
    return _message(json_object(body) or {})


def printable_line(text: str) -> str:
    """`text` as one line without control characters, safe for a log or a terminal."""
    shown = "".join(char if char.isprintable() else " " for char in text[:_MESSAGE_LENGTH_READ])
    return " ".join(shown.split())


def label_text(text: str) -> str:
    """`text` as a valid label value: truncated, valid Unicode, no NUL, no line end but LF.

    Every text from the API that becomes a label goes through here. Invalid labels in the
    configuration are rejected instead.
    """
    if len(text) > MAX_LABEL_LENGTH or not (text.isascii() and text.isprintable()):
        text = _NOT_IN_LABELS.sub("\ufffd", text[:MAX_LABEL_LENGTH])
    return text


_shared_label_text = lru_cache(maxsize=8192)(label_text)
"""Cached, because many buckets have the same nodes and can share their strings."""


def _message(answer: JsonObject) -> str:
    for key in ("message", "error", "error_code"):
        text = answer.get(key)
        line = printable_line(text) if isinstance(text, str) else ""
        if line:
            return line
    return ""


def _response_error(answer: JsonObject, name: str, drift: Counter[Drift]) -> ApiError | None:
    success = answer.get("success")
    if success is False:
        return ApiError(Reason.UNSUCCESSFUL, _message(answer) or "the response says success: false")
    if success is not True and success is not None:
        drift[Drift(DriftKind.WRONG_TYPE, "success")] += 1
        return ApiError(Reason.MALFORMED, "success in the response is neither true nor false")
    elements = answer.get(name)
    if isinstance(elements, list):
        return None
    kind = DriftKind.MISSING_FIELD if elements is None else DriftKind.WRONG_TYPE
    drift[Drift(kind, name)] += 1
    return ApiError(Reason.MALFORMED, f"the response has no list {name}")


def _nodes(
    rows: Iterable[object], response_limits: ResponseLimits, drift: Counter[Drift]
) -> tuple[Node, ...] | ApiError:
    """The nodes. Stops with an error as soon as there are too many."""
    nodes: dict[tuple[str, str], Node] = {}
    most_rows = response_limits.max_nodes * ROWS_PER_NODE
    for number, row in enumerate(rows):
        if number == most_rows:
            return _too_many(
                f"more than {most_rows} rows, {ROWS_PER_NODE} for each of", response_limits
            )
        if not isinstance(row, dict):
            drift[Drift(DriftKind.WRONG_TYPE, "nodeStats")] += 1
            continue
        node = _Row(row, drift).node(response_limits.known_statuses)
        if node is None:
            drift[Drift(DriftKind.MISSING_FIELD, "ip")] += 1
            continue
        rival = nodes.get(node.identity)
        if rival is not None:
            drift[Drift(DriftKind.DUPLICATE_NODE, "ip")] += 1
            node = _newer(rival, node)
        elif len(nodes) == response_limits.max_nodes:
            return _too_many("more nodes than", response_limits)
        nodes[node.identity] = node
    return tuple(nodes.values())


def _too_many(what: str, response_limits: ResponseLimits) -> ApiError:
    message = f"the response has {what} max_nodes_per_bucket ({response_limits.max_nodes})"
    return ApiError(Reason.TOO_MANY_NODES, message)


def _newer(first: Node, last: Node) -> Node:
    """The row with the later `last_updated`; the last row if that is equal or unknown."""
    if first.last_updated is None or last.last_updated is None:
        return last
    return first if first.last_updated > last.last_updated else last


def _count_unknown_fields(found: JsonObject, known: frozenset[str], drift: Counter[Drift]) -> None:
    if not known.issuperset(found):
        unknown = len(found) - sum(name in found for name in known)
        drift[Drift(DriftKind.UNKNOWN_FIELD, OTHER_FIELD)] += unknown


class _Row:
    """Reads the fields of one row in nodeStats. Invalid values are None and counted as drift."""

    __slots__ = ("_drift", "_row")

    def __init__(self, row: JsonObject, drift: Counter[Drift]) -> None:
        self._row = row
        self._drift = drift

    def node(self, known_statuses: Collection[str]) -> Node | None:
        """The node; None if the row has neither ip nor host."""
        _count_unknown_fields(self._row, _KNOWN_NODE_FIELDS, self._drift)
        ip, host = self.text("ip"), self.text("host")
        if not ip and not host:
            return None
        # Positional: keyword arguments would take a fifth of the time for a row.
        return Node(
            ip or "",
            host or "",
            self.text("version"),
            self.status(known_statuses),
            self.uptime_ratio(),
            self.latency_seconds("avg_latency_ms"),
            self.latency_seconds("last_latency_ms"),
            self.timestamp("last_updated"),
        )

    def text(self, key: str) -> str | None:
        value = self._row.get(key)
        if isinstance(value, str):
            # Truncated first: the cache would keep the whole text as its key.
            return _shared_label_text(value[:MAX_LABEL_LENGTH])
        if value is not None:
            self._count_drift(DriftKind.WRONG_TYPE, key)
        return None

    def status(self, known_statuses: Collection[str]) -> str | None:
        value = self.text("node_status")
        if value is not None and value not in known_statuses:
            self._count_drift(DriftKind.UNKNOWN_STATUS, "node_status")
        return value

    def uptime_ratio(self) -> float | None:
        percent = self.number("perc_uptime", -UPTIME_ROUNDING, 100 + UPTIME_ROUNDING)
        if percent is None:
            return None
        return (0.0 if percent < 0 else min(percent, 100.0)) / 100

    def latency_seconds(self, key: str) -> float | None:
        milliseconds = self.number(key, 0.0, _MOST)
        return None if milliseconds is None else milliseconds / 1000

    def number(self, key: str, least: float, most: float) -> float | None:
        """A finite number within a range; it may be a string."""
        value = self._row.get(key)
        if value is None:
            return None
        if type(value) is not float:  # nearly all values are floats
            if isinstance(value, str) and _is_number(value):
                value = float(value)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                self._count_drift(DriftKind.WRONG_TYPE, key)
                return None
        if not least <= value <= most:
            self._count_drift(DriftKind.OUT_OF_RANGE, key)
            return None
        return float(value)

    def timestamp(self, key: str) -> float | None:
        """An RFC 3339 date-time, which must have an offset, as Unix time."""
        value = self._row.get(key)
        if value is None:
            return None
        moment = _parse_datetime(value)
        if moment is None or moment.tzinfo is None:
            self._count_drift(DriftKind.WRONG_TYPE, key)
            return None
        if moment < _EPOCH:  # such as 0001-01-01, which some servers send for "never"
            self._count_drift(DriftKind.OUT_OF_RANGE, key)
            return None
        return moment.timestamp()

    def _count_drift(self, kind: DriftKind, key: str) -> None:
        self._drift[Drift(kind, key)] += 1


def _is_number(text: str) -> bool:
    return len(text) <= LONGEST_NUMBER and _NUMBER.fullmatch(text) is not None


def _parse_datetime(value: object) -> datetime | None:
    """Parse an RFC 3339 date-time; without an offset the result is naive."""
    if not isinstance(value, str) or len(value) > LONGEST_DATE:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return _parse_lenient(value.upper())


def _parse_lenient(text: str) -> datetime | None:
    """Parse what RFC 3339 allows but Python does not: a lower-case `z` and leap seconds.

    Unix time has no leap seconds: a leap second becomes the second after it.
    """
    leap = _LEAP_SECOND.fullmatch(text)
    try:
        if leap is None:
            return datetime.fromisoformat(text)
        return datetime.fromisoformat(f"{leap[1]}59{leap[2]}") + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
