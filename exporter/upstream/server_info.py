"""What responses show about an account's server: its clock and its certificate.

The metrics read it at each scrape. The status and body of a response are not considered here.
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
"""The part of a second that a Date header leaves out, on average."""


class ResponseHead(NamedTuple):
    """What the head of a response says about the server; a header that is missing is None."""

    date: str | None
    age: str | None
    certificate_expiry: float | None = None  # Unix time


class ClockSkew(NamedTuple):
    """How many seconds the API's clock is ahead of ours, and when that was measured."""

    seconds: float
    measured: Instant


class ServerInfo:
    """The newest information about the server of one account."""

    def __init__(self) -> None:
        self._clock_skew: ClockSkew | None = None
        self.certificate_expiry: float | None = None
        """The earliest expiry in the newest certificate chain, as Unix time; None if unknown."""

    def note(self, head: ResponseHead, round_trip: float, received: Instant) -> None:
        """Update from the head of a response that came `round_trip` seconds after the request."""
        self.certificate_expiry = head.certificate_expiry
        if head.age is None or head.age.strip() == "0":  # else a cache answered, with an old date
            self._clock_skew = _clock_skew(head.date, round_trip, received)

    def resume(self, previous: ServerInfo) -> None:
        """Take over what was known about the same server before a reload."""
        self._clock_skew = previous._clock_skew
        self.certificate_expiry = previous.certificate_expiry

    def clock_skew(self, monotonic: float, max_age: float) -> float | None:
        """The API's clock minus ours, in seconds; None if it was not measured within `max_age`."""
        skew = self._clock_skew
        if skew is None or monotonic - skew.measured.monotonic > max_age:
            return None
        return skew.seconds


def _clock_skew(date: str | None, round_trip: float, received: Instant) -> ClockSkew | None:
    """Assumes that the server read its clock in the middle of the round trip."""
    dated = None if date is None else http_date(date)
    if dated is None:
        return None
    seconds = dated + MIDDLE_OF_SECOND - (received.wall - round_trip / 2)
    return ClockSkew(seconds, received)


@lru_cache(maxsize=64)
def http_date(text: str) -> float | None:
    """The Unix time of a date in any of the three forms in RFC 9110; None if it is invalid.

    A date without a zone, or with `-0000`, is UTC. Cached, because all responses within a second
    have the same date.
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
    """The earliest expiry of all certificates in the chain that the server sent, Unix time.

    None if that is unknown. Python 3.11 and 3.12 have no public access to the chain, and later
    versions have none to its contents, so a private method is used. Without it, the result is the
    expiry of the server's own certificate, which Python only reports if it was verified.
    """
    try:
        chain = _chain(connection) or [connection.getpeercert()]
        return float(min(ssl.cert_time_to_seconds(each["notAfter"]) for each in chain))
    except (KeyError, TypeError, ValueError, ssl.SSLError):  # TypeError: there is no certificate
        return None


def _chain(connection: Any) -> list[Any]:  # noqa: ANN401 - what is private has no types
    """The certificates that the server sent, in the form of getpeercert, verified or not."""
    try:
        return [each.get_info() for each in connection._sslobj.get_unverified_chain() or ()]  # noqa: SLF001
    except AttributeError:  # tests/upstream/test_certificates.py fails if it is gone
        return []
