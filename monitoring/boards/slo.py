"""Service levels: previous days against a target, remaining error budget, and burn rate."""

from __future__ import annotations

from monitoring.boards import colours, links, panels, tables, variables
from monitoring.boards.layout import Board, Defaults, Line, Section, line
from monitoring.boards.panels import Query, Text, Values
from monitoring.boards.queries import Scope, down_now, named, recorded_bucket, recorded_node

_ALL = Scope("", "")
_WINDOWS = ("1h", "6h", "1d", "3d")

_UPTIME = "flashback_node_uptime_previous_day_ratio"
_MEAN = recorded_bucket(f"{_UPTIME}:avg${{days}}d")
_COUNT = recorded_bucket(f"{_UPTIME}:count${{days}}d")
_LEFT = f"1 - {_COUNT} * (1 - {_MEAN}) / ($days * (1 - $target))"
_PREVIOUS_DAYS = named(_ALL.previous_day(), window="[25h] offset -1d @ end()")

_OVER = " Over the selected number of previous days, as far as there is data."


def _burn(window: str) -> str:
    """The burn rate of the nodes that exist now."""
    down = recorded_node(f"flashback_node_down:avg{window}", "ip, host")
    return f"({down} / (1 - $target)) and on (ip, host) {down_now('ip, host')}"


def _counts(defaults: Defaults) -> Line:
    return line(
        4,
        panels.number(
            Text("Mean uptime", "Of all buckets." + _OVER),
            Values("percentunit", colours.uptime_thresholds(defaults.target), decimals=3),
            Query(f"avg({named(_MEAN)})"),
        ),
        panels.number(
            Text(
                "Mean error budget left",
                "The remaining share of the error budget; below 0 the budget is exceeded." + _OVER,
            ),
            Values("percentunit", colours.BUDGET, decimals=1),
            Query(f"avg({named(_LEFT)})"),
        ),
        panels.number(
            Text(
                "Buckets over budget",
                "Buckets that exceeded the error budget." + _OVER,
            ),
            Values("short", colours.ZERO_IS_GOOD, decimals=0),
            Query(f"sum({named(f'({_LEFT}) < bool 0')})"),
        ),
        panels.number(
            Text(
                "Nodes below target, previous day",
                "Nodes, counted per bucket, below the target on the previous day.",
                alert="FlashbackNodePreviousDayUnderTarget",
            ),
            Values("short", colours.ZERO_IS_GOOD, decimals=0),
            Query(f"sum({named(_ALL.newest_day())} < bool $target)"),
        ),
    )


def _previous_days(defaults: Defaults) -> Section:
    steps = colours.uptime_thresholds(defaults.target)
    return Section(
        "Previous days",
        (
            _counts(defaults),
            line(
                10,
                tables.rows(
                    Text(
                        "Buckets against the target", "Each bucket's mean over its nodes." + _OVER
                    ),
                    {"name": "Bucket", "bucket_id": "Bucket id", "account": "Account"},
                    tables.Column("Uptime", named(_MEAN), "percentunit", steps, decimals=3),
                    tables.Column("Days with data", named(_COUNT), "none"),
                    tables.Column("Budget left", named(_LEFT), "percentunit", colours.BUDGET),
                    leads={"name": links.row_to_bucket()},
                    by=("Budget left", False),
                ),
                panels.days(
                    Text(
                        "Uptime by bucket",
                        "The mean over a bucket's nodes. A cell is a previous day in UTC in the "
                        "selected time range.",
                        (links.series_to_bucket(),),
                    ),
                    Values("percentunit", steps, low=0, high=1),
                    Query(f"avg by (bucket_id, name) ({_PREVIOUS_DAYS})", "{{name}}"),
                ),
            ),
            line(
                7,
                panels.lines(
                    Text(
                        "Nodes under target by day",
                        "Nodes, counted per bucket, below the target on that day.",
                        alert="FlashbackNodePreviousDayUnderTarget",
                    ),
                    Values("short", low=0, decimals=0),
                    Query(f"sum by (account) ({_PREVIOUS_DAYS} < bool $target)", "{{account}}"),
                    daily=True,
                ),
            ),
        ),
    )


def _observed() -> Section:
    what = (
        "The burn rate: how many times as fast as the target allows the error budget is used."
        " At 1 it lasts exactly for its period. Based on the status in polls, not on the API's"
        " uptime."
    )
    return Section(
        "Observed status",
        (
            line(
                9,
                panels.lines(
                    Text(
                        "Burn rate over time",
                        "The mean over all nodes. " + what,
                        alert="FlashbackNodeErrorBudgetBurn1h",
                    ),
                    Values("short", colours.BURN, low=0),
                    *[Query(f"avg({_burn(window)})", window) for window in _WINDOWS[:2]],
                ),
                panels.bars(
                    Text(
                        "Burn rate now",
                        "The mean over all nodes. " + what,
                        alert="FlashbackNodeErrorBudgetBurn1h",
                    ),
                    Values("short", colours.BURN, low=0),
                    *[Query(f"avg({_burn(window)})", window) for window in _WINDOWS],
                ),
                tables.rows(
                    Text(
                        "Burn rate by node",
                        "The mean over a node's buckets; the highest of several accounts. " + what,
                        alert="FlashbackNodeErrorBudgetBurn1d",
                    ),
                    {"host": "Host", "ip": "IP"},
                    *[
                        tables.Column(window, _burn(window), "short", colours.BURN, decimals=1)
                        for window in _WINDOWS
                    ],
                    leads={"host": links.row_to_node()},
                    by=("1d", True),
                ),
                shares=(6, 5, 13),
            ),
        ),
    )


def board(defaults: Defaults) -> Board:
    """Service levels."""
    return Board(
        name="slo",
        title="Flashback / Service levels",
        description="Previous days against a target, error budgets and burn rates.",
        variables=(
            variables.datasource(),
            *variables.where(),
            variables.account(),
            variables.days(),
            variables.target(defaults.target),
        ),
        sections=(_previous_days(defaults), _observed()),
        since="now-28d",
        refresh="5m",
    )
