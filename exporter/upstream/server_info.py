"""What an account's API shows of itself besides its answers: its clock, and its certificate.

What is known is asked for at each scrape. What an answer's status and body mean is not looked at.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from email.utils import parsedate_tz
from functools import lru_cache
from typing import Any, NamedTuple

from exporter.model import Instant

LEAP_SECOND = 60

MIDDLE_OF_SECOND = 0.5
"""A date has whole seconds: it was made anywhere in the second that it names."""


class AnswerHead(NamedTuple):
    """What is known of the server once a head has come; a header is None where there is none."""

    date: str | None
    age: str | None
    certificate_expiry: float | None = None  # Unix time


class ClockSkew(NamedTuple):
    """By how many seconds the API's clock is ahead of ours, and when that was found out."""

    seconds: float
    measured: Instant


class ServerInfo:
    """What is known of the server of one account: the newest answer counts."""

    def __init__(self) -> None:
        self._clock_skew: ClockSkew | None = None
        self.certificate_expiry: float | None = None
        """When the first certificate of the newest connection ends, Unix time, if that is known."""

    def note(self, head: AnswerHead, round_trip: float, received: Instant) -> None:
        """Learn from an answer whose head came now, `round_trip` seconds after it was asked for."""
        self.certificate_expiry = head.certificate_expiry
        if head.age is None or head.age.strip() == "0":  # else a cache answers, with an old date
            self._clock_skew = _clock_skew(head.date, round_trip, received)

    def resume(self, previous: ServerInfo) -> None:
        """Go on with what is known of the same server."""
        self._clock_skew = previous._clock_skew
        self.certificate_expiry = previous.certificate_expiry

    def clock_skew(self, monotonic: float, max_age: float) -> float | None:
        """The API's clock minus ours, seconds; None where no answer of that age says it."""
        skew = self._clock_skew
        if skew is None or monotonic - skew.measured.monotonic > max_age:
            return None
        return skew.seconds


def _clock_skew(date: str | None, round_trip: float, received: Instant) -> ClockSkew | None:
    """The server is taken to have read its clock in the middle of the round trip."""
    dated = None if date is None else http_date(date)
    if dated is None:
        return None
    seconds = dated + MIDDLE_OF_SECOND - (received.wall - round_trip / 2)
    return ClockSkew(seconds, received)


@lru_cache(maxsize=64)
def http_date(text: str) -> float | None:
    """The Unix time of a date in any of RFC 9110's three forms.

    It is UTC where it names no zone, as in asctime's form, or one that means none (`-0000`).
    Kept, since all answers within a second have the same.
    """
    try:
        parsed = parsedate_tz(text)
        if parsed is None or not 0 <= parsed[5] <= LEAP_SECOND:
            return None
        minute = datetime(*parsed[:5], tzinfo=UTC)
        return minute.timestamp() + parsed[5] - (parsed[9] or 0)
    except (ValueError, OverflowError):
        return None


def certificate_expiry(connection: ssl.SSLObject) -> float | None:
    """When the first of the certificates that a server has sent ends, Unix time.

    None where that cannot be known. Python 3.11 and 3.12 have no public way to the chain, and later
    ones none to what is in it: without the private one this is the end of the server's own
    certificate, which Python only tells of if it has verified it.
    """
    try:
        chain = _chain(connection) or [connection.getpeercert()]
        return float(min(ssl.cert_time_to_seconds(each["notAfter"]) for each in chain))
    except (KeyError, TypeError, ValueError, ssl.SSLError):  # TypeError: there is none
        return None


def _chain(connection: Any) -> list[Any]:  # noqa: ANN401 - what is private has no types
    """All certificates as they were sent, in the form of getpeercert, verified or not."""
    try:
        return [each.get_info() for each in connection._sslobj.get_unverified_chain() or ()]  # noqa: SLF001
    except AttributeError:  # tests/upstream/test_certificates.py tells whether it is there
        return []
