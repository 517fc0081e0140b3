"""Everything that rows, pages and JSON show about one bucket, with the sparkline of its polls.

Pure. Decides what is shown; the markup is in `templates`, the JSON in `api`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exporter.model import Bucket, BucketState, DayStats, FailedPoll, Instant, Node, Reason, Timing
from exporter.polling.targets import HISTORY_LENGTH, PollRecord, is_not_online
from exporter.status.snapshot import NextPoll, Snapshot
from exporter.status.state import Health, RankedBucket, is_fresh, shown_nodes
from exporter.status.text import ADVICE, Advice, counted, latency, utc


class Moment(NamedTuple):
    """A time, and its age when the snapshot was taken."""

    wall: float
    age: float  # seconds; negative: in the future


class Trouble(NamedTuple):
    """Why a bucket is failing."""

    reason: Reason
    advice: Advice
    message: str  # of the newest failure, printable; empty if there is none


@dataclass(frozen=True, slots=True)
class BucketView:
    """A bucket at the moment of the snapshot."""

    bucket: Bucket
    timing: Timing
    health: Health
    is_fresh: bool  # whether its values may be shown
    trouble: Trouble | None
    first_known: Moment
    last_success: Moment | None
    last_poll: Moment | None
    poll_duration: float | None  # seconds
    next_poll_at: Moment
    next_poll: NextPoll
    stats: DayStats | None  # of the current day; None: nothing to show
    nodes: tuple[Node, ...]  # the nodes of `stats`, those not online first
    not_online: int
    previous_day: DayStats | None  # None: nothing to show
    polls: tuple[PollRecord, ...]  # oldest first

    @property
    def title(self) -> str:
        """The name, or the id if the name is blank."""
        return self.bucket.name if self.bucket.name.strip() else self.bucket.id

    @property
    def is_stale(self) -> bool:
        """Whether its last successful poll is too old to be shown."""
        return not self.is_fresh and self.last_success is not None

    @property
    def down(self) -> tuple[Node, ...]:
        """The nodes that are not online, which come first."""
        return self.nodes[: self.not_online]

    @property
    def sparkline(self) -> Sparkline:
        return sparkline(self.polls)

    @property
    def latencies(self) -> tuple[float, float] | None:
        """The lowest and the highest of its nodes' last latencies, in seconds."""
        known = [
            node.latency_last_seconds
            for node in self.nodes
            if node.latency_last_seconds is not None
        ]
        return (min(known), max(known)) if known else None


def bucket_view(ranked: RankedBucket, snapshot: Snapshot) -> BucketView:
    """Make the view of a bucket."""
    now, status = snapshot.now, ranked.status
    state, timing = status.state, status.timing
    next_poll = status.next_poll(now)
    fresh = is_fresh(state, timing, now.monotonic)
    nodes = shown_nodes(status, now.monotonic)
    newest = state.newest
    return BucketView(
        bucket=status.bucket,
        timing=timing,
        health=ranked.health,
        is_fresh=fresh,
        trouble=_trouble(state, fresh=fresh),
        first_known=_seen(state.known_since, now),
        last_success=None if state.last_success is None else _seen(state.last_success, now),
        last_poll=None if newest is None else _seen(newest.ended, now),
        poll_duration=None if newest is None else newest.duration,
        next_poll_at=Moment(next_poll.due, now.wall - next_poll.due),
        next_poll=next_poll,
        stats=state.stats if fresh else None,
        nodes=tuple(sorted(nodes, key=_worst_first)),
        not_online=sum(map(is_not_online, nodes)),
        previous_day=_previous_day(state, timing, now),
        polls=status.polls,
    )


def _seen(moment: Instant, now: Instant) -> Moment:
    """The age comes from the monotonic clock, so that setting the wall clock does not change it."""
    return Moment(moment.wall, now.monotonic - moment.monotonic)


def _trouble(state: BucketState, *, fresh: bool) -> Trouble | None:
    reason = state.failing(fresh=fresh)
    if reason is None:
        return None
    message = state.newest.error.message if isinstance(state.newest, FailedPoll) else ""
    return Trouble(reason, ADVICE[reason], message)


def _previous_day(state: BucketState, timing: Timing, now: Instant) -> DayStats | None:
    is_shown = now.monotonic < state.previous_day_until(timing, now)
    return state.previous_day if is_shown else None


def _worst_first(node: Node) -> tuple[bool, str, str]:
    return (not is_not_online(node), node.host, node.ip)


HEIGHT = 24
STEP = 5
"""Distance between two bars, in SVG units."""

BAR = STEP - 1

WIDTH = HISTORY_LENGTH * STEP
_LEAST = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One poll. The height shows its duration; a failed poll has the full height."""

    x: int
    y: int
    height: int
    kind: str  # good, degraded or failed
    title: str


@dataclass(frozen=True, slots=True)
class Sparkline:
    """The bars of a bucket's last polls, with the newest one at the right."""

    bars: tuple[Bar, ...]
    words: str

    def outlines(self) -> Mapping[str, str]:
        """One SVG path for each kind of bar: a tenth of the markup of single bars."""
        outlines: dict[str, str] = {}
        for bar in self.bars:
            drawn = f"M{bar.x} {HEIGHT}v-{bar.height}h{BAR}v{bar.height}z"
            outlines[bar.kind] = outlines.get(bar.kind, "") + drawn
        return outlines


def sparkline(polls: Sequence[PollRecord]) -> Sparkline:
    """The sparkline for polls, given the oldest first."""
    longest = max((poll.duration for poll in polls if poll.reason is None), default=0.0)
    first = HISTORY_LENGTH - len(polls)
    bars = tuple(_bar(poll, (first + place) * STEP, longest) for place, poll in enumerate(polls))
    return Sparkline(bars, _in_words(polls))


def _bar(poll: PollRecord, x: int, longest: float) -> Bar:
    height = HEIGHT if poll.reason is not None else _height(poll.duration, longest)
    return Bar(x, HEIGHT - height, height, poll_kind(poll), f"{utc(poll.ended)}: {poll_text(poll)}")


def poll_kind(poll: PollRecord) -> str:
    """The kind of a poll's bar."""
    if poll.reason is not None:
        return "failed"
    return "degraded" if poll.nodes_not_online else "good"


def poll_text(poll: PollRecord) -> str:
    if poll.reason is not None:
        return f"failed ({poll.reason}) after {latency(poll.duration)}"
    took = f"succeeded in {latency(poll.duration)}"
    down = poll.nodes_not_online
    return f"{took}, {counted(down, 'node')} not online" if down else took


def _height(duration: float, longest: float) -> int:
    """Scales by the square root, so that one slow poll does not flatten the others.

    A good poll never has the full height.
    """
    share = math.sqrt(duration / longest) if longest > 0 else 0.0
    return round(_LEAST + (HEIGHT * 0.75 - _LEAST) * share)


def _in_words(polls: Sequence[PollRecord]) -> str:
    if not polls:
        return "No finished poll yet"
    reasons = Counter(poll.reason for poll in polls if poll.reason is not None)
    if not reasons:
        return f"Last {counted(len(polls), 'poll')}: all succeeded"
    failed = ", ".join(f"{reason} {times}" for reason, times in reasons.most_common())
    good = len(polls) - reasons.total()
    return (
        f"Last {counted(len(polls), 'poll')}: {good} succeeded, {reasons.total()} failed ({failed})"
    )
