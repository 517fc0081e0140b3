"""The contract's rules for values, implemented a second time: the samples of a response.

It uses no code of the exporter, and deliberately works in another way: with fractions and patterns,
where the exporter uses floats and library parsers.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeAlias

LONGEST_LABEL = 256
LARGEST = Fraction(2) ** 1024
ROUNDING = Fraction(1, 100)

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|([+-])(\d\d):(\d\d))", re.ASCII
)

Row: TypeAlias = Mapping[str, object]


class Fact(NamedTuple):
    """One sample about a node, without its bucket."""

    kind: str
    ip: str
    host: str
    text: str = ""  # a version or a status
    value: float = 1.0


class Facts(NamedTuple):
    """Everything that a response says about a bucket's nodes. Statuses are as the API sent them."""

    nodes: frozenset[tuple[str, str]]
    values: frozenset[Fact]
    statuses: frozenset[Fact]

    def shown(self, known_statuses: Sequence[str]) -> frozenset[Fact]:
        """The samples that the exporter should show."""
        return self.values | {
            fact if fact.text in known_statuses else fact._replace(text="UNKNOWN")
            for fact in self.statuses
        }


UNFIT = {"\0", *"\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"}
"""Characters that are replaced in labels, besides lone surrogates."""


def clean(text: str) -> str:
    """Text as the exporter should show it in a label value."""
    return "".join(
        "\ufffd" if char in UNFIT or 0xD800 <= ord(char) < 0xE000 else char
        for char in text[:LONGEST_LABEL]
    )


def facts(rows: Sequence[Row]) -> Facts:
    """The facts in rows as they were sent."""
    chosen: dict[tuple[str, str], Row] = {}
    for row in rows:
        identity = (_text(row.get("ip")) or "", _text(row.get("host")) or "")
        if identity != ("", ""):
            chosen[identity] = _newer(chosen.get(identity), row)
    values: set[Fact] = set()
    statuses: set[Fact] = set()
    for identity, row in chosen.items():
        values.update(Fact(kind, *identity, "", value) for kind, value in _values(row))
        version, status = _text(row.get("version")), _text(row.get("node_status"))
        if version is not None:
            values.add(Fact("info", *identity, version))
        if status is not None:
            statuses.add(Fact("status", *identity, status))
    return Facts(frozenset(chosen), frozenset(values), frozenset(statuses))


def _newer(first: Row | None, last: Row) -> Row:
    if first is None:
        return last
    before, after = (_moment(row.get("last_updated")) for row in (first, last))
    return first if before is not None and after is not None and before > after else last


def _values(row: Row) -> list[tuple[str, float]]:
    percent = _number(row.get("perc_uptime"))
    if percent is not None and not -ROUNDING <= percent <= 100 + ROUNDING:
        percent = None
    ratio = None if percent is None else min(max(percent, Fraction(0)), Fraction(100)) / 100
    updated = _moment(row.get("last_updated"))
    found: list[tuple[str, Fraction | None]] = [
        ("uptime", ratio),
        ("latency_average", _seconds(row.get("avg_latency_ms"))),
        ("latency_last", _seconds(row.get("last_latency_ms"))),
        ("last_updated", updated),
    ]
    return [(kind, float(value)) for kind, value in found if value is not None]


def _seconds(value: object) -> Fraction | None:
    milliseconds = _number(value)
    return None if milliseconds is None or milliseconds < 0 else milliseconds / 1000


def _number(value: object) -> Fraction | None:
    """A finite number, possibly in quotes."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip(" ")):
            return None
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 - false only for NaN
        return None
    number = Fraction(value)
    return number if -LARGEST < number < LARGEST else None


def _moment(value: object) -> Fraction | None:
    """The Unix time of an RFC 3339 date-time from 1970 on."""
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    if not (0 < month < 13 and 0 < day <= calendar.monthrange(year, month)[1] and hour < 24):
        return None
    moment = Fraction(calendar.timegm((year, month, day, hour, minute, second)))
    if found[7]:
        moment += Fraction(found[7])
    if found[9]:
        offset = int(found[10]) * 3600 + int(found[11]) * 60
        moment += -offset if found[9] == "+" else offset
    return moment if moment >= 0 else None


def _text(value: object) -> str | None:
    return clean(value) if isinstance(value, str) else None
