"""The types that the whole package shares, and every rule about data and time.

Everything is frozen and pure: `now` is an argument, and nothing does I/O. This module imports no
library and no other module of the package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

_EPOCH = date(1970, 1, 1).toordinal()

ONLINE_STATUS = "ONLINE"
"""The status that the API reports for a working node."""

UNKNOWN_STATUS = "UNKNOWN"
"""The label value for a status that is not in `known_statuses`."""

SECONDS_PER_DAY = 86400

MAX_LABEL_LENGTH = 256  # characters; longer label values are truncated


class Label(StrEnum):
    """The label names of the `flashback_` metrics; a bucket's `labels` may not use them."""

    ACCOUNT = "account"
    BUCKET_ID = "bucket_id"
    CALL = "call"
    CODE = "code"
    FIELD = "field"
    HOST = "host"
    IP = "ip"
    KIND = "kind"
    NAME = "name"
    PYTHON_VERSION = "python_version"
    REASON = "reason"
    REGION = "region"
    REVISION = "revision"
    SHARD_ORDINAL = "shard_ordinal"
    STATUS = "status"
    STORAGE_TYPE = "storage_type"
    VERSION = "version"
    WORKSPACE_ID = "workspace_id"


PREVIOUS_DAY_SPREAD = 3600.0
"""Seconds after the grace period over which the requests for the previous day are spread."""


def midnight(day: date) -> float:
    return float((day.toordinal() - _EPOCH) * SECONDS_PER_DAY)


def stable_fraction(bucket_id: str) -> float:
    """A position from 0 to below 1, the same in every process and evenly spread over many ids."""
    digest = blake2b(bucket_id.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


class Instant(NamedTuple):
    """One moment on two clocks.

    The wall clock says which time of day it was. The monotonic clock measures how long ago it was,
    because it cannot be set.
    """

    wall: float  # Unix time, seconds
    monotonic: float  # seconds since an arbitrary moment, never decreasing

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.wall, UTC).date()


class Reason(StrEnum):
    """Why an attempt, a poll or a bucket failed: the values of the label `reason`."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNEXPECTED_STATUS = "unexpected_status"
    UNSUCCESSFUL = "unsuccessful"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    TOO_MANY_NODES = "too_many_nodes"
    TIMEOUT = "timeout"
    CONNECT = "connect"
    TLS = "tls"
    OVERDUE = "overdue"
    INTERNAL = "internal"

    @property
    def is_refusal(self) -> bool:  # such a request is not worth retrying soon
        return self in REFUSALS


REFUSALS = frozenset({Reason.BAD_REQUEST, Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.NOT_FOUND})


class Timing(NamedTuple):
    """How often an account's buckets are polled and when their values are stale, in seconds."""

    poll_interval: float = 60.0
    poll_timeout: float = 10.0  # per attempt
    stale_after: float = 300.0
    recheck_interval: float = 300.0
    rollover_grace: float = 600.0

    def refusal_wait(self, before: int) -> float:
        """Seconds until a refused poll is retried, after `before` refusals in a row."""
        ceiling = max(self.recheck_interval, self.poll_interval)
        return min(self.poll_interval * 2.0 ** min(before, 32), ceiling)

    def in_grace_after_midnight(self, wall: float) -> bool:
        """Whether `wall` (Unix time) is within the grace period after midnight UTC."""
        return self.grace_left(wall) > 0

    def grace_left(self, wall: float) -> float:
        """Seconds of the grace period after midnight that are left at `wall` (Unix time)."""
        return max(0.0, self.rollover_grace - wall % SECONDS_PER_DAY)

    def newest_ended_day(self, wall: float) -> date:
        """The newest day with final values at `wall` (Unix time): its grace period is over."""
        return date.fromordinal(int((wall - self.rollover_grace) // SECONDS_PER_DAY) + _EPOCH - 1)

    def previous_day_exposed_between(self, day: date, bucket_id: str) -> tuple[float, float]:
        """The start and the end (exclusive) of the time in which `day` is exposed, in Unix time.

        Its values are requested once the day's grace period is over, spread over the buckets, and
        are replaced by those of the next day.
        """
        until = self.previous_day_exposed_until(day)
        return until - SECONDS_PER_DAY + stable_fraction(bucket_id) * PREVIOUS_DAY_SPREAD, until

    def previous_day_exposed_until(self, day: date) -> float:
        """The Unix time from which the final values of `day` are no longer exposed."""
        return midnight(day) + 2 * SECONDS_PER_DAY + self.rollover_grace

    def is_near_midnight(self, wall: float) -> bool:
        """Whether the API's and the exporter's clocks may disagree on the date."""
        return self.in_grace_after_midnight(wall) or (
            SECONDS_PER_DAY - wall % SECONDS_PER_DAY <= self.rollover_grace
        )


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket to poll, identified by (account, id). All other fields may change on a reload."""

    account: str
    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    storage_type: str = ""  # this and the next two: empty unless discovered
    region: str = ""
    workspace_id: str = ""
    key: BucketKey = field(init=False, repr=False, compare=False)
    """The identity. Created once, and shared by everything that refers to the bucket."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", BucketKey(self.account, self.id))


class BucketKey(NamedTuple):
    """What identifies a bucket over reloads. In another account it counts as a new bucket."""

    account: str
    bucket_id: str


@dataclass(frozen=True, slots=True)
class Node:
    """One row of a response, in base units. A field is None if the API sent no usable value."""

    ip: str
    host: str
    version: str | None = None
    status: str | None = None
    uptime_ratio: float | None = None
    latency_average_seconds: float | None = None
    latency_last_seconds: float | None = None
    last_updated: float | None = None  # Unix time

    @property
    def identity(self) -> tuple[str, str]:
        return (self.ip, self.host)


@dataclass(frozen=True, slots=True)
class DayStats:
    """The nodes of a bucket on one UTC day, as the API reports them. No two share an identity."""

    day: date
    nodes: tuple[Node, ...]

    def has_previous_day_values(self) -> bool:
        """Whether at least one node has a value that is exposed for a previous day."""
        return any(
            node.uptime_ratio is not None or node.latency_average_seconds is not None
            for node in self.nodes
        )

    def has_same_nodes(self, other: DayStats | None) -> bool:
        """Whether both have the same nodes, versions and statuses in the same order."""
        return other is not None and _features(self) == _features(other)

    def lacks_node_of(self, other: DayStats) -> bool:
        mine = {node.identity for node in self.nodes}
        return any(node.identity not in mine for node in other.nodes)


def _features(stats: DayStats) -> list[tuple[str, str, str | None, str | None]]:
    return [(node.ip, node.host, node.version, node.status) for node in stats.nodes]


@dataclass(frozen=True, slots=True)
class GoodPoll:
    """A poll that succeeded."""

    stats: DayStats
    ended: Instant
    duration: float  # seconds, retries included


@dataclass(frozen=True, slots=True)
class ApiError:
    """Why one attempt gave no usable response. `message` is one printable line."""

    reason: Reason
    message: str
    retry_after: float | None = None  # seconds, from the server's Retry-After

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed if it is sent again at once.

        A timeout is not transient in this sense: it has used up the poll's time, and a retry would
        add load to a slow server.
        """
        return self.reason in {Reason.CONNECT, Reason.SERVER_ERROR}


@dataclass(frozen=True, slots=True)
class FailedPoll:
    """A poll that failed after its retries."""

    error: ApiError
    ended: Instant
    duration: float  # seconds, retries included


PollResult: TypeAlias = GoodPoll | FailedPoll


@dataclass(frozen=True, slots=True)
class BucketState:
    """What is known about a bucket: its current values and its newest poll."""

    known_since: Instant
    stats: DayStats | None = None  # of the newest good poll, or kept over midnight
    last_success: Instant | None = None
    newest: PollResult | None = None
    previous_day: DayStats | None = None  # the final values of a previous day

    def after(self, result: PollResult, timing: Timing) -> BucketState:
        """The state after a poll.

        A failed poll keeps the current values, which keep ageing. A good poll replaces them, with
        one exception: within the grace period after midnight, the API may not have all nodes of
        the new day yet. If its response is empty or lacks one of yesterday's nodes, yesterday's
        values are kept and count as confirmed, unless they are stale.
        """
        if isinstance(result, FailedPoll):
            return replace(self, newest=result)
        kept = self._is_kept_over_midnight(result, timing)
        return replace(
            self,
            stats=self.stats if kept else result.stats,
            last_success=result.ended,
            newest=result,
        )

    def fresh_until(self, timing: Timing) -> float:
        """The monotonic time, in seconds, from which the bucket's values are stale."""
        return (self.last_success or self.known_since).monotonic + timing.stale_after

    def failing(self, *, fresh: bool) -> Reason | None:
        """Why the bucket is failing, or None. `fresh`: whether `fresh_until` is in the future."""
        if isinstance(self.newest, FailedPoll):
            return self.newest.error.reason
        return None if fresh else Reason.OVERDUE

    def previous_day_wanted(self, bucket_id: str, timing: Timing, now: Instant) -> date | None:
        """The previous day to request now; None if its values are known, or it is too early.

        A bucket that has values of an older day waits for its offset within the spread. A bucket
        that has none does not wait: the day's values are final already.
        """
        day = timing.newest_ended_day(now.wall)
        if self.previous_day is None:
            return day
        if self.previous_day.day == day:
            return None
        return day if now.wall >= timing.previous_day_exposed_between(day, bucket_id)[0] else None

    def previous_day_until(self, timing: Timing, now: Instant) -> float:
        """The monotonic time, in seconds, from which the previous day's values are not exposed."""
        if self.previous_day is None:
            return math.inf
        return now.monotonic + timing.previous_day_exposed_until(self.previous_day.day) - now.wall

    def _is_kept_over_midnight(self, poll: GoodPoll, timing: Timing) -> bool:
        held = self.stats
        return (
            held is not None
            and held.day == poll.stats.day - timedelta(days=1)
            and timing.in_grace_after_midnight(poll.ended.wall)
            and poll.ended.monotonic < self.fresh_until(timing)
            and (not poll.stats.nodes or poll.stats.lacks_node_of(held))
        )


_LAST_OF_FOUR_DIGITS = 0xFFFF


def printable(text: str) -> str:
    r"""Replace each character that is not printable by an escape such as `\u202e`.

    That includes control characters, line separators, lone surrogates and characters that change
    the direction of text.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code <= _LAST_OF_FOUR_DIGITS else f"\\U{code:08x}"
