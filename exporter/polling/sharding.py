"""Decides which buckets this process polls if several share the work. Pure.

Uses rendezvous hashing: of all shards, the one with the highest weight for a bucket's id polls it.
All processes agree without communication, and a new shard only takes buckets over: none moves
between the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

_POD_NAME = re.compile(r".*-(\d+)")


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `total` shards, counted from 0. Raises ValueError if the ordinal is out of range."""

    ordinal: int = 0
    total: int = 1

    def __post_init__(self) -> None:
        if self.total < 1:
            raise ValueError(f"invalid number of shards: {self.total}: use at least 1")
        if not 0 <= self.ordinal < self.total:
            raise ValueError(
                f"invalid shard ordinal: {self.ordinal}: use at least 0 and less than the number of"
                f" shards ({self.total})"
            )

    def owns(self, bucket_id: str) -> bool:
        return self.total == 1 or owner(bucket_id, self.total) == self.ordinal


def owner(bucket_id: str, total: int) -> int:
    """The ordinal of the shard that polls a bucket."""
    key = bucket_id.encode(errors="surrogatepass")
    return max(range(total), key=lambda ordinal: _weight(key, ordinal))


def pod_ordinal(host_name: str) -> int:
    """The ordinal in the name of a StatefulSet's pod. Raises ValueError if there is none."""
    found = _POD_NAME.fullmatch(host_name.partition(".")[0])
    if found is None:
        raise ValueError(f"the host name {host_name!r} does not end in an ordinal, as in 'name-2'")
    return int(found[1])


def _weight(key: bytes, ordinal: int) -> bytes:
    return blake2b(key, digest_size=8, salt=ordinal.to_bytes(16)).digest()
