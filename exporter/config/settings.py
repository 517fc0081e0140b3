"""What the program uses: the configuration once it is known to be sound.

Frozen values in base units, nothing optional that has a default. What the YAML may look like
belongs to `document`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from exporter.model import Bucket, Timing


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process allows itself, over all accounts."""

    max_concurrent_requests: int
    max_requests_per_second: float
    max_nodes_per_bucket: int
    max_response_bytes: int


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the API and the buckets polled in that user's name."""

    name: str
    base_url: str  # without a slash at its end
    credentials: SecretStr | Path  # the bearer token, or the file that holds it from time to time
    timing: Timing
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration. No two accounts share a name, and no two buckets an id."""

    limits: Limits
    known_statuses: tuple[str, ...]
    accounts: tuple[Account, ...]

    def buckets(self) -> tuple[Bucket, ...]:
        """Every bucket, in the order of the file."""
        return tuple(bucket for account in self.accounts for bucket in account.buckets)
