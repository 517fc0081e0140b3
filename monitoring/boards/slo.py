"""Service levels: previous days against a target, what is left of the error budget, its burn."""

from __future__ import annotations

from monitoring.boards import colours, links, panels, tables, variables
from monitoring.boards.layout import Board, Defaults, Section, line
from monitoring.boards.panels import Query, Text, Values
from monitoring.boards.queries import Scope

_ALL = Scope()
_CLOSED = _ALL.previous_day()
_NAMED = _ALL.named(_CLOSED, history=True)
_UPTIME = Values("percentunit", colours.UPTIMES, high=1)
_LEFT = Values("percentunit", colours.BUDGET, high=1)
_WINDOWS = ("1h", "6h", "1d", "3d")

_MEAN = _ALL.named(f"avg by (bucket_id) (avg_over_time(({_CLOSED})[$__range:1d]))")
_UNDER = _ALL.named(f"sum by (bucket_id) (sum_over_time(({_CLOSED} < bool $target)[$__range:1d]))")
_WORST = _ALL.named(f"min by (bucket_id) (min_over_time(({_CLOSED})[$__range:1d]))")


def _left(uptime: str) -> str:
    return f"1 - (1 - {uptime}) / (1 - $target)"


def _burn(window: str) -> str:
    return _ALL.named(f"avg by (bucket_id) ({_ALL.down_share(window)}) / (1 - $target)")


def _range() -> Section:
    range_note = " Over the previous days in the time range chosen above."
    return Section(
        "Previous days",
        (
            line(
                4,
                panels.number(
                    Text("Mean uptime", "Of all buckets and nodes." + range_note),
                    Values("percentunit", colours.UPTIMES, decimals=3),
                    Query(f"avg({_MEAN})"),
                ),
                panels.number(
                    Text(
                        "Error budget left",
                        "Of what the target allows to be lost; below 0 it is overspent."
                        + range_note,
                    ),
                    _LEFT,
                    Query(_left(f"avg({_MEAN})")),
                ),
                panels.number(
                    Text(
                        "Node days under target",
                        "Previous days, counted per bucket and node, below the target."
                        + range_note,
                        alert="FlashbackNodeClosedDayUnderTarget",
                    ),
                    Values("short", colours.NONE_IS_GOOD, decimals=0),
                    Query(f"sum({_UNDER})"),
                ),
                panels.number(
                    Text(
                        "Buckets over budget",
                        "Buckets that lost more than the target allows." + range_note,
                    ),
                    Values("short", colours.NONE_IS_GOOD, decimals=0),
                    Query(f"sum({_left(_MEAN)} < bool 0)"),
                ),
                panels.number(
                    Text(
                        "Under target, newest day",
                        "Nodes, counted per bucket, below the target on the newest previous day.",
                    ),
                    Values("short", colours.NONE_IS_GOOD, decimals=0),
                    Query(f"sum({_ALL.named(_ALL.newest_day())} < bool $target)"),
                ),
            ),
            line(
                9,
                tables.rows(
                    Text("Buckets", "Each bucket against the target." + range_note),
                    {"name": "Bucket", "bucket_id": "Bucket id", "account": "Account"},
                    tables.Column("Mean uptime", _MEAN, "percentunit", colours.UPTIMES),
                    tables.Column("Worst node day", _WORST, "percentunit", colours.UPTIMES),
                    tables.Column("Node days under target", _UNDER),
                    tables.Column("Budget left", _left(_MEAN), "percentunit", colours.BUDGET),
                    leads={"name": links.row_to_bucket()},
                ),
            ),
            line(
                10,
                panels.days(
                    Text(
                        "Uptime by bucket",
                        "The mean over a bucket's nodes; a cell is a previous day in UTC.",
                        (links.series_to_bucket(),),
                    ),
                    _UPTIME,
                    Query(f"avg by (bucket_id, name) ({_NAMED})", "{{name}}"),
                ),
                panels.lines(
                    Text(
                        "Node days under target",
                        "How many nodes, counted per bucket, were below the target that day.",
                        alert="FlashbackNodeClosedDayUnderTarget",
                    ),
                    Values("short", low=0, decimals=0),
                    Query(f"sum by (account) ({_NAMED} < bool $target)", "{{account}}"),
                    daily=True,
                ),
            ),
        ),
    )


def _observed() -> Section:
    what = (
        "How many times faster than the target allows the budget is being spent, by the share of"
        " time in which polls saw nodes down; 1 spends it just so. It rests on"
        " statuses seen, not on the API's own uptime."
    )
    return Section(
        "Observed status",
        (
            line(
                9,
                panels.lines(
                    Text(
                        "Burn by window",
                        "The mean over all buckets. " + what,
                        alert="FlashbackNodeErrorBudgetBurn1h",
                    ),
                    Values("short", colours.BURN, low=0),
                    *[Query(f"avg({_burn(window)})", window) for window in _WINDOWS[:2]],
                ),
                panels.bars(
                    Text(
                        "Burn now",
                        "The mean over all buckets. " + what,
                        alert="FlashbackNodeErrorBudgetBurn1h",
                    ),
                    Values("short", colours.BURN, low=0),
                    *[Query(f"avg({_burn(window)})", window) for window in _WINDOWS],
                ),
            ),
            line(
                9,
                tables.rows(
                    Text(
                        "Burn by bucket",
                        "Each bucket's mean over its nodes. " + what,
                        alert="FlashbackNodeErrorBudgetBurn1d",
                    ),
                    {"name": "Bucket", "bucket_id": "Bucket id", "account": "Account"},
                    *[
                        tables.Column(window, _burn(window), "short", colours.BURN)
                        for window in _WINDOWS
                    ],
                    leads={"name": links.row_to_bucket()},
                ),
            ),
        ),
    )


def board(defaults: Defaults) -> Board:
    """Service levels."""
    return Board(
        name="slo",
        title="Flashback / Service levels",
        description="Previous days against a target, error budgets and their burn.",
        variables=(
            variables.datasource(),
            variables.account(),
            variables.buckets(),
            variables.target(defaults.target),
            variables.down(defaults.down),
        ),
        sections=(_range(), _observed()),
        since="now-28d",
        refresh="5m",
    )
