"""The vocabulary, and every rule about data and time.

Frozen and pure: `now` is an argument, nothing waits, nothing is read or written. No library and no
other module of the package is imported here.
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
"""What the API calls a node that works."""

UNKNOWN_STATUS = "UNKNOWN"
"""What stands for a status outside of the known ones."""

SECONDS_PER_DAY = 86400

MAX_LABEL_LENGTH = 256  # characters; label values are cut there


class Label(StrEnum):
    """The label names of the exporter's metrics. A bucket's own labels have other names."""

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
"""Seconds after the grace over which the calls for the previous day are spread."""


def midnight(day: date) -> float:
    return float((day.toordinal() - _EPOCH) * SECONDS_PER_DAY)


def place_of(bucket_id: str) -> float:
    """A bucket's place among all, from 0 to below 1: even over many, the same in every process."""
    digest = blake2b(bucket_id.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


class Instant(NamedTuple):
    """One moment on two clocks: `wall` says what it means, `monotonic` how long ago it was."""

    wall: float  # Unix time, seconds
    monotonic: float  # seconds, from an arbitrary zero, never falling

    @property
    def day(self) -> date:
        """The UTC day of this moment."""
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
    def is_refusal(self) -> bool:  # asking again soon is pointless
        return self in REFUSALS


REFUSALS = frozenset({Reason.BAD_REQUEST, Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.NOT_FOUND})


class Timing(NamedTuple):
    """How often an account's buckets are polled and how long their readings count, in seconds."""

    poll_interval: float = 60.0
    poll_timeout: float = 10.0  # of one attempt
    stale_after: float = 300.0
    recheck_interval: float = 300.0
    rollover_grace: float = 600.0

    def refusal_wait(self, before: int) -> float:
        """Seconds until a refusal is retried, after so many refusals in a row."""
        ceiling = max(self.recheck_interval, self.poll_interval)
        return min(self.poll_interval * 2.0 ** min(before, 32), ceiling)

    def in_grace_after_midnight(self, wall: float) -> bool:
        """Whether the day at `wall` (Unix time) is so young that the API may not have it yet."""
        return self.grace_left(wall) > 0

    def grace_left(self, wall: float) -> float:
        """Seconds of the grace after midnight that are left at `wall`."""
        return max(0.0, self.rollover_grace - wall % SECONDS_PER_DAY)

    def newest_ended_day(self, wall: float) -> date:
        """The newest day that upstream has surely closed at a time (Unix time)."""
        return date.fromordinal(int((wall - self.rollover_grace) // SECONDS_PER_DAY) + _EPOCH - 1)

    def previous_day_shown_between(self, day: date, bucket_id: str) -> tuple[float, float]:
        """From when, and until before when, a day's final figures are shown; Unix time.

        They are asked for once upstream has surely closed the day, a bucket at a time, and give
        way to the next day's.
        """
        until = self.previous_day_shown_until(day)
        return until - SECONDS_PER_DAY + place_of(bucket_id) * PREVIOUS_DAY_SPREAD, until

    def previous_day_shown_until(self, day: date) -> float:
        """Until before when a day's final figures are shown; Unix time."""
        return midnight(day) + 2 * SECONDS_PER_DAY + self.rollover_grace

    def is_near_midnight(self, wall: float) -> bool:
        """Whether the clocks of both sides may disagree on which day it is."""
        return self.in_grace_after_midnight(wall) or (
            SECONDS_PER_DAY - wall % SECONDS_PER_DAY <= self.rollover_grace
        )


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket to poll. Its identity is (account, id): the rest may change under it."""

    account: str
    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    storage_type: str = ""  # this and the next two: empty where discovery does not tell
    region: str = ""
    workspace_id: str = ""
    key: BucketKey = field(init=False, repr=False, compare=False)
    """What stays the same over a reload. Made once: all that know the bucket share it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", BucketKey(self.account, self.id))


class BucketKey(NamedTuple):
    """A bucket's identity."""

    account: str
    bucket_id: str


@dataclass(frozen=True, slots=True)
class Node:
    """One row of an answer, in base units; None where the API gave nothing usable."""

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
    """What the API says of a bucket's nodes on one UTC day. No two nodes share an identity."""

    day: date
    nodes: tuple[Node, ...]

    def has_figures(self) -> bool:
        """Whether there is anything in it to show of a previous day."""
        return any(
            node.uptime_ratio is not None or node.latency_average_seconds is not None
            for node in self.nodes
        )

    def says_the_same_of_nodes(self, other: DayStats | None) -> bool:
        """Whether there are the same nodes in the same order, figures and times apart."""
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
    """Why one attempt gave no usable answer. `message` is one printable line."""

    reason: Reason
    message: str
    retry_after: float | None = None  # seconds, as the server asked

    @property
    def is_passing(self) -> bool:
        """Whether the same request may well succeed a moment later.

        A time-out is not: it has used the poll's time up, and a slow server wants less, not more.
        """
        return self.reason in {Reason.CONNECT, Reason.SERVER_ERROR}


@dataclass(frozen=True, slots=True)
class FailedPoll:
    """A poll that failed for good."""

    error: ApiError
    ended: Instant
    duration: float  # seconds, retries included


PollResult: TypeAlias = GoodPoll | FailedPoll


@dataclass(frozen=True, slots=True)
class BucketState:
    """All that is known of a bucket, as a value: the reading held and the newest poll."""

    known_since: Instant
    stats: DayStats | None = None  # of the newest good poll, or kept over midnight
    last_success: Instant | None = None
    newest: PollResult | None = None
    previous_day: DayStats | None = None  # the final figures of a previous day

    def after(self, result: PollResult, timing: Timing) -> BucketState:
        """The state once `result` is known.

        A failure leaves what is held as it is: it ages. A good poll replaces it, but in the grace
        after midnight an answer that is empty or lacks a node held from yesterday only confirms
        what is held, as long as that is not stale: upstream has not filled the new day yet.
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
        """The monotonic time, in seconds, from which on nothing held here may be shown."""
        return (self.last_success or self.known_since).monotonic + timing.stale_after

    def failing(self, *, fresh: bool) -> Reason | None:
        """Why the bucket is failing, or None. `fresh`: whether `fresh_until` lies ahead."""
        if isinstance(self.newest, FailedPoll):
            return self.newest.error.reason
        return None if fresh else Reason.OVERDUE

    def previous_day_wanted(self, bucket_id: str, timing: Timing, now: Instant) -> date | None:
        """The previous day to ask for now, if any: each one once, in the bucket's own time.

        A bucket of which none was ever held need not wait for that time: the day is closed.
        """
        day = timing.newest_ended_day(now.wall)
        if self.previous_day is None:
            return day
        if self.previous_day.day == day:
            return None
        return day if now.wall >= timing.previous_day_shown_between(day, bucket_id)[0] else None

    def previous_day_until(self, timing: Timing, now: Instant) -> float:
        """The monotonic time, seconds, from which on the previous day held here is not shown."""
        if self.previous_day is None:
            return math.inf
        return now.monotonic + timing.previous_day_shown_until(self.previous_day.day) - now.wall

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
    r"""Spell out what has no shape of its own, as `\u202e`.

    Control characters, line ends, lone surrogates and marks that turn the direction of text are
    among these.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelt_out(ord(char)) for char in text)


def _spelt_out(code: int) -> str:
    return f"\\u{code:04x}" if code <= _LAST_OF_FOUR_DIGITS else f"\\U{code:08x}"
