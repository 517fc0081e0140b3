"""Simulated time, and random numbers that repeat.

Nothing here keeps state. A random number depends on its key alone, not on the order of calls or on
what else runs.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import TypeVar

SECONDS_PER_DAY = 86400
_EPOCH = date(1970, 1, 1).toordinal()
_T = TypeVar("_T")
_FLOAT_BITS = 53  # what a float holds exactly, so that no draw is rounded up to 1


def draw(*key: object) -> float:
    """A number in [0, 1), uniform over keys; a key is made of strings and numbers."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - _FLOAT_BITS)) / 2.0**_FLOAT_BITS


def pick(options: Sequence[_T], *key: object) -> _T:
    return options[int(draw(*key) * len(options))]


def paced(
    start: float, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """A clock that starts at `start` (Unix time) and runs `speed` times as fast as real time."""
    origin = monotonic()
    return lambda: start + (monotonic() - origin) * speed


def day_to_unix(day: date) -> int:
    """00:00 UTC of a day as Unix time."""
    return (day.toordinal() - _EPOCH) * SECONDS_PER_DAY


def unix_to_day(now: float) -> date:
    return date.fromordinal(_EPOCH + int(now // SECONDS_PER_DAY))


def unix_to_text(moment: float) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")
