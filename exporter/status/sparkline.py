"""A bucket's last polls as a small picture: bars, and the same in words. Pure, no markup."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.polling.history import KEPT, PollRecord
from exporter.status.text import counted, latency, utc

HEIGHT = 24
STEP = 5
"""From bar to bar; units of the picture."""

BAR = STEP - 1

WIDTH = KEPT * STEP
_LEAST = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """A poll: as high as it took long, and of full height where it failed."""

    x: int
    y: int
    height: int
    kind: str  # good, degraded or failed
    title: str


@dataclass(frozen=True, slots=True)
class Sparkline:
    """The newest poll is at the right end."""

    bars: tuple[Bar, ...]
    words: str

    def outlines(self) -> Mapping[str, str]:
        """The bars of each kind as one outline, in SVG's letters: a tenth of the markup."""
        outlines: dict[str, str] = {}
        for bar in self.bars:
            drawn = f"M{bar.x} {HEIGHT}v-{bar.height}h{BAR}v{bar.height}z"
            outlines[bar.kind] = outlines.get(bar.kind, "") + drawn
        return outlines


def sparkline(polls: Sequence[PollRecord]) -> Sparkline:
    """The picture of a bucket's last polls, the oldest first."""
    longest = max((poll.duration for poll in polls if poll.reason is None), default=0.0)
    first = KEPT - len(polls)
    bars = tuple(_bar(poll, (first + place) * STEP, longest) for place, poll in enumerate(polls))
    return Sparkline(bars, _in_words(polls))


def _bar(poll: PollRecord, x: int, longest: float) -> Bar:
    height = HEIGHT if poll.reason is not None else _height(poll.duration, longest)
    return Bar(
        x, HEIGHT - height, height, poll_kind(poll), f"{utc(poll.ended)}: {poll_words(poll)}"
    )


def poll_kind(poll: PollRecord) -> str:
    """How a poll went, in one word."""
    if poll.reason is not None:
        return "failed"
    return "degraded" if poll.nodes_not_online else "good"


def poll_words(poll: PollRecord) -> str:
    """How a poll went."""
    if poll.reason is not None:
        return f"failed ({poll.reason}) after {latency(poll.duration)}"
    took = f"good, took {latency(poll.duration)}"
    down = poll.nodes_not_online
    return f"{took}, {counted(down, 'node')} not online" if down else took


def _height(duration: float, longest: float) -> int:
    """By the root, so that one slow poll does not flatten the others; a good one is never full."""
    share = math.sqrt(duration / longest) if longest > 0 else 0.0
    return round(_LEAST + (HEIGHT * 0.75 - _LEAST) * share)


def _in_words(polls: Sequence[PollRecord]) -> str:
    if not polls:
        return "No poll has ended yet"
    reasons = Counter(poll.reason for poll in polls if poll.reason is not None)
    if not reasons:
        return f"Last {counted(len(polls), 'poll')}: all good"
    failed = ", ".join(f"{reason} {times}" for reason, times in reasons.most_common())
    good = len(polls) - reasons.total()
    return f"Last {counted(len(polls), 'poll')}: {good} good, {reasons.total()} failed ({failed})"
