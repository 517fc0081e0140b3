"""Chance that repeats: numbers which depend on their key alone.

No generator is kept, so nothing depends on the order of calls or on what runs beside them.
Only draws live here; what they decide is the caller's.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

_T = TypeVar("_T")
_FLOAT_BITS = 53  # what a float holds exactly, so that no draw is rounded up to 1


def draw(*key: object) -> float:
    """A number in [0, 1), evenly spread over keys; a key is made of strings and numbers."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - _FLOAT_BITS)) / 2.0**_FLOAT_BITS


def pick(options: Sequence[_T], *key: object) -> _T:
    """One of the options, each as likely as the others."""
    return options[int(draw(*key) * len(options))]
