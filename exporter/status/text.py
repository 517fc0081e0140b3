"""Text for people: durations, times, numbers, and the reasons for failures with their remedies.

Pure. The texts of the reasons are only here: pages, JSON and docs/metrics.md use them. Code in them
is in backticks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from exporter.model import Reason, printable

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
LONGEST_TEXT = 300
"""Characters of a name, label or message to show."""

_TINY = 10


def span(seconds: float) -> str:
    """A duration in at most two units: `12 s`, `1 min 30 s`, `2 h 5 min`, `4 d 3 h`."""
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
    """How long ago something was, or how soon it will be if `seconds` is negative.

    Above a minute, seconds are left out.
    """
    passed = abs(seconds)
    if passed < 1:
        return "now"
    rough = span(passed if passed < _MINUTE else passed // _MINUTE * _MINUTE)
    return f"in {rough}" if seconds < 0 else f"{rough} ago"


def _moment(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, UTC)


def utc(wall: float) -> str:
    """A time for people: `2024-01-15 12:00:00 UTC`."""
    return f"{_moment(wall):%Y-%m-%d %H:%M:%S} UTC"


def rfc3339(wall: float) -> str:
    """A time for programs, to the millisecond."""
    return _moment(wall).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def percent(ratio: float) -> str:
    """A ratio as a percentage, rounded down: only exactly 1 is shown as 100 %."""
    # Rounded first, so that binary fractions do not change the result.
    return f"{math.floor(round(ratio * 10_000, 6)) / 100:.10g} %"


def latency(seconds: float) -> str:
    """A latency with three digits: `4.2 ms`, `38 ms`, `1.25 s`."""
    if seconds < 1:
        milliseconds = seconds * 1000
        return f"{milliseconds:.1f} ms" if milliseconds < _TINY else f"{milliseconds:.0f} ms"
    return f"{seconds:.3g} s"


def shown(text: str, longest: int = LONGEST_TEXT) -> str:
    """The start of a text, with special characters escaped."""
    return printable(f"{text[:longest]}…" if len(text) > longest else text)


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 node`, `2 nodes`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class Advice(NamedTuple):
    """What a reason means, and what to do about it."""

    what: str
    remedy: str


_IF_HONEST = "raise it, if the answer is honest"

ADVICE: Mapping[Reason, Advice] = MappingProxyType(
    {
        Reason.BAD_REQUEST: Advice(
            "400", "near midnight: the clocks disagree, it passes. Else: is `base_url` right?"
        ),
        Reason.UNAUTHORIZED: Advice("401, or no token to send", "renew the token"),
        Reason.FORBIDDEN: Advice("403", "the token's user cannot see the bucket's workspace"),
        Reason.NOT_FOUND: Advice("404", "is the id right? Was the bucket deleted?"),
        Reason.RATE_LIMITED: Advice(
            "429; the account is paused", "fewer buckets, a longer interval, or a higher quota"
        ),
        Reason.SERVER_ERROR: Advice("5xx, three attempts", "wait; ask Flashback"),
        Reason.UNEXPECTED_STATUS: Advice(
            "any other status; redirects are never followed. For a login or a refresh every 2xx"
            " counts as 200",
            "is `base_url` right?",
        ),
        Reason.UNSUCCESSFUL: Advice("200 with `success: false`", "read the message in the log"),
        Reason.MALFORMED: Advice(
            "an answer that is not what the API documents", "a proxy in between?"
        ),
        Reason.TOO_LARGE: Advice(
            "more than `max_response_bytes`; of a listing, 100,000 entries or 98 MiB",
            f"{_IF_HONEST}; list one workspace per account",
        ),
        Reason.TOO_MANY_NODES: Advice(
            "more nodes than `max_nodes_per_bucket`, or more than ten rows for each of so many",
            _IF_HONEST,
        ),
        Reason.TIMEOUT: Advice(
            "no answer within `poll_timeout`", "raise it, or look at the network"
        ),
        Reason.CONNECT: Advice(
            "no connection (DNS included), or one that closed before the whole answer",
            "look at the network",
        ),
        Reason.TLS: Advice(
            "no trusted TLS connection", "certificates, a proxy that intercepts, the clock"
        ),
        Reason.OVERDUE: Advice(
            "stale though no poll failed",
            "the exporter is too slow: look at `flashback_exporter_poll_lag_seconds`",
        ),
        Reason.INTERNAL: Advice(
            "this machine could not make a connection", "file descriptors, ports, memory"
        ),
    }
)
