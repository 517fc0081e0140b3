"""What must be known to say how the exporter is: the board from which pages and JSON are made.

Facts alone, as they are at one moment; what follows from them is decided beside.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from exporter.model import ApiError, Bucket, BucketKey, BucketState, Instant, Timing
from exporter.polling.history import PollRecord


class Held(Protocol):
    """A bucket that is polled, and what is known of it."""

    @property
    def bucket(self) -> Bucket:
        """Which one."""
        ...

    @property
    def timing(self) -> Timing:
        """How often it is polled and how long its readings count."""
        ...

    @property
    def state(self) -> BucketState:
        """All that its polls have told."""
        ...


class NextPoll(NamedTuple):
    """When a bucket is polled next."""

    due: float  # Unix time; may be past where polls are late
    is_running: bool = False
    is_paused: bool = False  # its account is, until then at the latest


@dataclass(frozen=True, slots=True)
class DiscoveryStatus:
    """How the listings of an account's buckets do."""

    was_tried: bool
    found: int = 0  # that pass the account's filters
    last_success: Instant | None = None
    fault: ApiError | None = None  # of the newest listing


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """An account, and nothing of what it logs in with."""

    name: str
    paused_until: float | None = None  # Unix time
    token_expiry: float | None = None  # Unix time; None: the token does not say
    discovery: DiscoveryStatus | None = None  # None: it is off


@dataclass(frozen=True, slots=True)
class ConfigState:
    """Which configuration is at work."""

    loaded: float  # Unix time
    refused: float | None = None  # when a newer one could not be used; None: it is the newest
    problems: str = ""  # why not


@dataclass(frozen=True, slots=True)
class Process:
    """The exporter itself."""

    version: str
    is_healthy: bool
    is_ready: bool
    lag: float  # seconds
    shard_ordinal: int
    shard_total: int
    known_statuses: tuple[str, ...]
    config: ConfigState


class Board(Protocol):
    """Where the facts are asked for."""

    def now(self) -> Instant:
        """This moment."""
        ...

    def process(self) -> Process:
        """How the exporter itself is."""
        ...

    def accounts(self) -> Sequence[AccountStatus]:
        """Every account, in the order of the configuration."""
        ...

    def buckets(self) -> Sequence[Held]:
        """Every bucket that is polled. No two share an id."""
        ...

    def next_polls(self, keys: Collection[BucketKey]) -> Mapping[BucketKey, NextPoll]:
        """When these are polled next, as far as they are planned."""
        ...

    def polls(self, key: BucketKey) -> Sequence[PollRecord]:
        """How a bucket's last polls went, the oldest first."""
        ...
