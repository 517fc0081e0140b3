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
    """A latency, rounded for display: `4.2 ms`, `38 ms`, `1.25 s`."""
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


REDUCE_REQUESTS = "poll fewer buckets, increase `poll_interval`, or request a higher quota"

ADVICE: Mapping[Reason, Advice] = MappingProxyType(
    {
        Reason.BAD_REQUEST: Advice(
            "HTTP 400",
            "check `base_url`; around 00:00 UTC, clock skew can cause this, which then resolves by"
            " itself",
        ),
        Reason.UNAUTHORIZED: Advice("HTTP 401, or no token to send", "replace the credentials"),
        Reason.FORBIDDEN: Advice(
            "HTTP 403", "give the user of the token access to the workspace of the bucket"
        ),
        Reason.NOT_FOUND: Advice(
            "HTTP 404", "check the bucket ID, and whether the bucket was deleted"
        ),
        Reason.RATE_LIMITED: Advice("HTTP 429; the account is paused", REDUCE_REQUESTS),
        Reason.SERVER_ERROR: Advice("HTTP 5xx after three attempts", "wait, or contact Flashback"),
        Reason.UNEXPECTED_STATUS: Advice(
            "any other HTTP status; redirects are never followed. For a login or a token refresh,"
            " any 2xx is a success",
            "check `base_url`",
        ),
        Reason.UNSUCCESSFUL: Advice(
            "HTTP 200 with `success: false`", "read the message in the log"
        ),
        Reason.MALFORMED: Advice(
            "a response that does not match the documentation of the API",
            "check `base_url`, and any proxy between the exporter and the API",
        ),
        Reason.TOO_LARGE: Advice(
            "a response larger than `max_response_bytes`, or a bucket list of more than 100,000"
            " entries or 98 MiB",
            "if the response is correct, raise `max_response_bytes`, or discover one workspace per"
            " account",
        ),
        Reason.TOO_MANY_NODES: Advice(
            "more nodes than `max_nodes_per_bucket`, or more rows than ten times that",
            "if the response is correct, raise `max_nodes_per_bucket`",
        ),
        Reason.TIMEOUT: Advice(
            "no response within `poll_timeout`, or a poll that takes longer than `poll_interval`",
            "check the network, or raise `poll_timeout`",
        ),
        Reason.CONNECT: Advice(
            "no connection, a DNS failure, or a connection that closed before the full response",
            "check DNS, the network and the proxy",
        ),
        Reason.TLS: Advice(
            "the TLS connection failed, or the certificate is not trusted",
            "check the CA and the certificates, the clock, and any proxy that intercepts TLS",
        ),
        Reason.OVERDUE: Advice(
            "stale although no poll failed: the exporter is too slow",
            "check `flashback_exporter_poll_lag_seconds`",
        ),
        Reason.INTERNAL: Advice(
            "this machine could not open a connection",
            "check the limits on file descriptors, ports and memory",
        ),
    }
)
