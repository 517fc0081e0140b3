"""The table of all scenarios: faults with names.

A scenario may change the server's clock, the world, the rows, the response and the delivery, in
that order. The functions for that are in `data_faults`, `response_faults` and `delivery`; limiting
and combining scenarios belongs to `fault_injection`.
"""

from dataclasses import dataclass
from typing import NamedTuple

from exporter.simulator import data_faults, delivery, response_faults
from exporter.simulator.calls import CallKind
from exporter.simulator.data_faults import AlterRows, AlterWorld
from exporter.simulator.delivery import Deliver
from exporter.simulator.response_faults import AlterResponse
from exporter.simulator.world import SECONDS_PER_DAY

STATS_CALLS = frozenset({CallKind.STATS})


class Window(NamedTuple):
    """A period of each day, in seconds since 00:00 UTC; may cross midnight."""

    start: float
    end: float

    def covers(self, moment: float) -> bool:
        return (moment - self.start) % SECONDS_PER_DAY < (self.end - self.start) % SECONDS_PER_DAY


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a scenario changes, and by default for which calls and when."""

    name: str
    description: str
    share: float = 1.0  # of the calls
    window: Window | None = None  # None: always
    calls: frozenset[CallKind] = STATS_CALLS  # unless `InjectedFault` names others
    clock: float = 0.0  # seconds by which the server's clock is ahead
    revokes: bool = False  # makes the call's token invalid
    world: AlterWorld = data_faults.same_world
    rows: AlterRows = data_faults.same_rows  # in a list response, its entries
    response: AlterResponse = response_faults.same_response
    deliver: Deliver | None = None

    @property
    def summary(self) -> str:
        """The help text: the calls (if not only stats), the description, the share (if not all)."""
        calls = ", ".join(kind for kind in CallKind if kind in self.calls)
        start = "" if self.calls == STATS_CALLS else f"{calls}: "
        rest = f"; {self.share:.0%} of calls" if self.share < 1 else ""
        return f"{start}{self.description}{rest}"


CLOCK_SKEW = 180.0
"""Seconds."""

_STATS_SCENARIOS = (
    # The world
    Scenario(
        "node-outage",
        "*-us-east-1-aws is OFFLINE from minute 10 to 20 of each hour",
        world=data_faults.node_down,
    ),
    Scenario(
        "latency-spike",
        "eu-central-1 is 8 times as slow from minute 30 to 40 of each hour",
        world=data_faults.region_slow,
    ),
    Scenario(
        "private-nodes",
        "three private nodes besides the public ones",
        world=data_faults.private_too,
    ),
    Scenario(
        "hundreds-of-nodes",
        "300 private nodes besides the public ones",
        world=data_faults.crowded,
    ),
    Scenario(
        "whole-day-denominator",
        "today's perc_uptime is a share of the full day, not of the elapsed time",
        world=data_faults.by_whole_day,
    ),
    # The clock
    Scenario("fast-clock", "the server's clock is 3 minutes ahead", clock=CLOCK_SKEW),
    Scenario(
        "slow-clock",
        "the server's clock is 3 minutes behind: requests for the new day get 400 until 00:03",
        clock=-CLOCK_SKEW,
    ),
    # The rows
    Scenario("churn", "3 in 10 nodes missing, changing every 5 min", rows=data_faults.churned),
    Scenario("duplicate-rows", "each node in two rows that differ", rows=data_faults.duplicated),
    Scenario("hostile-strings", "hostile host, version and status", rows=data_faults.hostile),
    Scenario(
        "empty-new-day",
        "no rows for today in the first 5 minutes of the day",
        window=Window(0, 300),
        rows=data_faults.empty_today,
    ),
    Scenario("empty-past-days", "no rows for any day but today", rows=data_faults.empty_past),
    Scenario(
        "half-filled-new-day",
        "every other row for today in the first 10 minutes of the day",
        window=Window(0, 600),
        rows=data_faults.half_filled_today,
    ),
    Scenario(
        "null-latency",
        "null latencies while a node is not ONLINE",
        rows=data_faults.latency_null_while_down,
    ),
    Scenario("missing-status", "rows without node_status", rows=data_faults.without_status),
    Scenario(
        "renamed-status",
        "node_status is called nodeStatus",
        rows=data_faults.with_status_renamed,
    ),
    Scenario(
        "unknown-status",
        "every other node has a status outside the known ones",
        rows=data_faults.with_unknown_status,
    ),
    Scenario(
        "missing-fields",
        "a quarter of all fields is absent or null",
        rows=data_faults.with_missing_fields,
    ),
    Scenario(
        "string-numbers",
        "each number is a string",
        rows=data_faults.with_numbers_as_strings,
    ),
    Scenario(
        "extreme-numbers",
        "NaN, infinite, negative and gigantic numbers",
        rows=data_faults.with_extreme_numbers,
    ),
    Scenario("odd-dates", "last_updated is not a valid date", rows=data_faults.with_odd_dates),
    # The response
    Scenario(
        "429-storm",
        "429 with Retry-After in seconds",
        share=0.3,
        response=response_faults.storm_in_seconds,
    ),
    Scenario(
        "429-storm-date",
        "429 with Retry-After as an HTTP date",
        share=0.3,
        response=response_faults.storm_with_date,
    ),
    Scenario(
        "429-storm-bare",
        "429 without Retry-After",
        share=0.3,
        response=response_faults.storm_without_hint,
    ),
    Scenario("5xx", "500, 502, 503 or 504", share=0.3, response=response_faults.server_error),
    Scenario("bad-request", "400, varied bodies", share=0.3, response=response_faults.refused(400)),
    Scenario("unauthorized", "401, mixed bodies", share=0.3, response=response_faults.refused(401)),
    Scenario("forbidden", "403, varied bodies", share=0.3, response=response_faults.refused(403)),
    Scenario("not-found", "404, varied bodies", share=0.3, response=response_faults.refused(404)),
    Scenario(
        "no-past-days",
        "400 for every day but today",
        response=response_faults.without_past,
    ),
    Scenario(
        "unsuccessful",
        "200 with success: false",
        share=0.3,
        response=response_faults.unsuccessful,
    ),
    Scenario(
        "hostile-message",
        "an error with a hostile message",
        share=0.3,
        response=response_faults.with_hostile_message,
    ),
    Scenario(
        "quoted-token",
        "an error that quotes the client's token",
        share=0.3,
        response=response_faults.with_quoted_token,
    ),
    Scenario(
        "not-json", "200 with a body that is not JSON", share=0.3, response=response_faults.not_json
    ),
    Scenario(
        "proxy-page",
        "200 with a proxy's HTML page",
        share=0.3,
        response=response_faults.proxy_page(200),
    ),
    Scenario(
        "proxy-502",
        "502 with a proxy's HTML page",
        share=0.3,
        response=response_faults.proxy_page(502),
    ),
    Scenario(
        "wrong-shape",
        "200 with JSON of a different structure",
        share=0.3,
        response=response_faults.wrong_shape,
    ),
    Scenario("redirect", "307 to another URL", share=0.3, response=response_faults.redirected),
    Scenario("gzip", "gzip bodies, even without Accept-Encoding", response=response_faults.gzipped),
    Scenario(
        "gzip-bomb",
        "64 KB of gzip that decompress to 64 MiB",
        share=0.1,
        response=response_faults.bomb,
    ),
    Scenario("huge-body", "a body of 16 MiB", share=0.1, response=response_faults.huge),
    Scenario(
        "deep-json",
        "JSON nested 100,000 deep",
        share=0.1,
        response=response_faults.deeply_nested,
    ),
    # The delivery
    Scenario("hang", "never responds", share=0.1, deliver=delivery.never),
    Scenario("trickle", "the body takes a minute", share=0.1, deliver=delivery.trickled),
    Scenario(
        "truncated",
        "the connection closes halfway through the body",
        share=0.2,
        deliver=delivery.truncated,
    ),
    Scenario(
        "disconnect",
        "the connection closes without a response",
        share=0.2,
        deliver=delivery.dropped,
    ),
    Scenario(
        "broken-framing",
        "a response without a status line",
        share=0.2,
        deliver=delivery.without_status_line,
    ),
    Scenario(
        "surplus",
        "a second response that was not requested",
        share=0.2,
        deliver=delivery.with_surplus,
    ),
)


_LOGIN, _REFRESH, _LIST = (
    frozenset({kind}) for kind in (CallKind.LOGIN, CallKind.REFRESH, CallKind.LIST)
)

_ACCOUNT_SCENARIOS = (
    # The tokens
    Scenario(
        "login-refused",
        "401, varied bodies, whatever the password",
        calls=_LOGIN,
        response=response_faults.refused(401),
    ),
    Scenario(
        "login-5xx",
        "500, 502, 503 or 504",
        share=0.3,
        calls=_LOGIN,
        response=response_faults.server_error,
    ),
    Scenario(
        "login-429",
        "429 with Retry-After in seconds",
        share=0.3,
        calls=_LOGIN,
        response=response_faults.storm_in_seconds,
    ),
    Scenario(
        "refresh-refused",
        "401, varied bodies, whatever the refresh token",
        calls=_REFRESH,
        response=response_faults.refused(401),
    ),
    Scenario(
        "refresh-5xx",
        "500, 502, 503 or 504",
        share=0.3,
        calls=_REFRESH,
        response=response_faults.server_error,
    ),
    Scenario(
        "tokens-revoked",
        "the current token is revoked permanently",
        share=0.05,
        calls=frozenset({CallKind.STATS, CallKind.LIST}),
        revokes=True,
    ),
    # The list of buckets
    Scenario(
        "list-5xx",
        "500, 502, 503 or 504",
        share=0.3,
        calls=_LIST,
        response=response_faults.server_error,
    ),
    Scenario(
        "list-403",
        "403, varied bodies",
        share=0.3,
        calls=_LIST,
        response=response_faults.refused(403),
    ),
    Scenario("list-empty", "no buckets", share=0.3, calls=_LIST, rows=data_faults.emptied),
    Scenario(
        "list-malformed",
        "200 with anything but a list of buckets",
        share=0.3,
        calls=_LIST,
        response=response_faults.malformed,
    ),
    Scenario(
        "list-odd-entries",
        "additional entries that are odd, hostile or invalid",
        calls=_LIST,
        rows=data_faults.with_odd_entries,
    ),
)


SCENARIOS = {scenario.name: scenario for scenario in (*_STATS_SCENARIOS, *_ACCOUNT_SCENARIOS)}
"""All scenarios by name, in the order in which help shows them."""
