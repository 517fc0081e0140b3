"""Numbers and moments as people read them. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from exporter.printable import printable

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
LONGEST_TEXT = 300
"""Characters of a name, a label or a message that are shown."""

_TINY = 10


def span(seconds: float) -> str:
    """A span of time in its two greatest units: `12 s`, `1 min 30 s`, `2 h 5 min`, `4 d 3 h`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole // _MINUTE, "min", whole % _MINUTE, "s")
    if whole < _DAY:
        return _two(whole // _HOUR, "h", whole % _HOUR // _MINUTE, "min")
    return _two(whole // _DAY, "d", whole % _DAY // _HOUR, "h")


def _two(great: int, unit: str, small: int, small_unit: str) -> str:
    return f"{great} {unit} {small} {small_unit}" if small else f"{great} {unit}"


def relative(seconds: float) -> str:
    """How long ago something was, or, where negative, how soon it will be; whole minutes at most.

    A second more or less is of interest only within a minute.
    """
    passed = abs(seconds)
    if passed < 1:
        return "now"
    rough = span(passed if passed < _MINUTE else passed // _MINUTE * _MINUTE)
    return f"in {rough}" if seconds < 0 else f"{rough} ago"


def _moment(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, UTC)


def utc(wall: float) -> str:
    """A Unix time for people: `2024-01-15 12:00:00 UTC`."""
    return f"{_moment(wall):%Y-%m-%d %H:%M:%S} UTC"


def rfc3339(wall: float) -> str:
    """A Unix time for machines, to the millisecond."""
    return _moment(wall).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def percent(ratio: float) -> str:
    """A share of 1, rounded down: what is not all never looks like it."""
    # First to where binary fractions do not show, then down.
    return f"{math.floor(round(ratio * 10_000, 6)) / 100:.10g} %"


def latency(seconds: float) -> str:
    """A latency to three digits: `4.2 ms`, `38 ms`, `1.25 s`."""
    if seconds < 1:
        milliseconds = seconds * 1000
        return f"{milliseconds:.1f} ms" if milliseconds < _TINY else f"{milliseconds:.0f} ms"
    return f"{seconds:.3g} s"


def shown(text: str, longest: int = LONGEST_TEXT) -> str:
    """The beginning of a text from elsewhere, so that all of it can be seen."""
    return printable(f"{text[:longest]}…" if len(text) > longest else text)


def counted(number: int, one: str, many: str = "") -> str:
    """`1 node`, `2 nodes`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
