"""Selects the calls that a scenario affects, combines scenarios, and parses `--scenario`.

Example: `churn,429-storm/share=0.5/bucket=a/bucket=b,hang/window=23:55-00:10` means churn for all
calls, 429 for half of the calls for two buckets, and no responses around midnight.
`hang/call=login` affects logins instead of the scenario's default calls.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import reduce

from exporter.simulator import delivery
from exporter.simulator.calls import ApiCall, CallKind, SimulatedResponse
from exporter.simulator.delivery import Deliver
from exporter.simulator.scenarios import SCENARIOS, Scenario, Window
from exporter.simulator.world import Row, World

_LIMITS = "share=0.5, bucket=ID, call=KIND, window=HH:MM-HH:MM"


class ScenarioError(ValueError):
    """A `--scenario` with an unknown scenario or an invalid limit."""


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A scenario and the calls that it affects."""

    scenario: Scenario
    share: float  # of the calls that pass the other limits
    buckets: frozenset[str] = frozenset()  # empty: all
    window: Window | None = None  # None: always
    calls: frozenset[CallKind] = frozenset()  # empty: the scenario's default

    @property
    def kinds(self) -> frozenset[CallKind]:
        return self.calls or self.scenario.calls

    def hits(self, call: ApiCall) -> bool:
        """Whether the fault affects a call; always the same for the same call."""
        return (
            call.kind in self.kinds
            and (not self.buckets or call.bucket in self.buckets)
            and (self.window is None or self.window.covers(call.now))
            and call.draw("share", self.scenario.name) < self.share
        )


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The scenarios that affect a call, applied in the order in which they were named."""

    scenarios: tuple[Scenario, ...]

    @property
    def clock(self) -> float:
        """Seconds by which the server's clock is ahead."""
        return sum(scenario.clock for scenario in self.scenarios)

    def world(self, world: World) -> World:
        return reduce(lambda so_far, each: each.world(so_far), self.scenarios, world)

    def rows(self, rows: Sequence[Row], call: ApiCall) -> list[Row]:
        return reduce(lambda so_far, each: each.rows(so_far, call), self.scenarios, list(rows))

    def response(self, response: SimulatedResponse, call: ApiCall) -> SimulatedResponse:
        """The response to send. If two scenarios replace it, the last one wins."""
        return reduce(lambda so_far, each: each.response(so_far, call), self.scenarios, response)

    @property
    def revokes(self) -> bool:
        """Whether the call's token becomes invalid."""
        return any(scenario.revokes for scenario in self.scenarios)

    @property
    def deliver(self) -> Deliver:
        """How to send the response. If two scenarios change that, the last one wins."""
        ways = (each.deliver for each in reversed(self.scenarios) if each.deliver)
        return next(ways, delivery.whole)


def plan(faults: Iterable[InjectedFault], call: ApiCall) -> FaultPlan:
    return FaultPlan(tuple(fault.scenario for fault in faults if fault.hits(call)))


def text_to_faults(text: str) -> tuple[InjectedFault, ...]:
    """Parse `--scenario`: names separated by commas, each with limits; empty: no faults.

    Limits follow a slash: `share=0.5`, `bucket=ID` and `call=KIND` (both repeatable),
    `window=HH:MM-HH:MM` (UTC). The scenario has defaults for missing limits. Raises
    ScenarioError.
    """
    entries = (entry.strip() for entry in text.split(","))
    return tuple(_entry_to_fault(entry) for entry in entries if entry)


def _entry_to_fault(entry: str) -> InjectedFault:
    name, *limits = entry.split("/")
    scenario = _scenario(name)
    fault = InjectedFault(scenario, scenario.share, window=scenario.window)
    limited = reduce(_limited, limits, fault)
    if limited.buckets and CallKind.STATS not in limited.kinds:
        raise ScenarioError(f"{entry!r} affects no call: only stats calls have a bucket")
    return limited


def _scenario(name: str) -> Scenario:
    if name in SCENARIOS:
        return SCENARIOS[name]
    close = get_close_matches(name, SCENARIOS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(SCENARIOS)}"
    raise ScenarioError(f"unknown scenario {name!r}: {hint}")


def _limited(fault: InjectedFault, limit: str) -> InjectedFault:
    match limit.partition("="):
        case "share", _, value:
            return replace(fault, share=_text_to_share(value))
        case "bucket", _, value if value:
            return replace(fault, buckets=fault.buckets | {value})
        case "call", _, value:
            return replace(fault, calls=fault.calls | {_text_to_kind(value)})
        case "window", _, value:
            return replace(fault, window=_text_to_window(value))
    raise ScenarioError(f"{limit!r} is not a limit: use {_LIMITS}")


def _text_to_share(text: str) -> float:
    if re.fullmatch(r"0(\.\d+)?|1(\.0+)?", text):
        return float(text)
    raise ScenarioError(f"{text!r} is not a share: write a number from 0 to 1")


def _text_to_kind(text: str) -> CallKind:
    if text in list(CallKind):
        return CallKind(text)
    raise ScenarioError(f"unknown call {text!r}: use one of {', '.join(CallKind)}")


def _text_to_window(text: str) -> Window:
    start, _, end = text.partition("-")
    window = Window(_text_to_second(start), _text_to_second(end))
    if window.start == window.end:
        raise ScenarioError(f"the window {text!r} is empty")
    return window


def _text_to_second(text: str) -> float:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", text, re.ASCII):
        raise ScenarioError(f"{text!r} is not a time of day: write the window as HH:MM-HH:MM")
    hour, minute, second = (*map(int, text.split(":")), 0)[:3]
    return hour * 3600.0 + minute * 60 + second
