"""The overview: firing alerts, nodes that are down, failing buckets, and uptime of the last weeks.

Many people keep it open, so range queries over all buckets use recorded series.
"""

from __future__ import annotations

from monitoring.boards import colours, links, panels, tables, variables
from monitoring.boards.layout import Board, Defaults, Line, Section, line
from monitoring.boards.panels import Query, Text, Values
from monitoring.boards.queries import (
    ACCOUNT,
    DOWN,
    INFO,
    Scope,
    down_now,
    info,
    named,
    recorded_bucket,
    select,
)

_ALL = Scope("", "")
_COUNT = Values("short", decimals=0)
_BAD = Values("short", colours.ZERO_IS_GOOD, decimals=0)
_LATENCY = Values("s", low=0)
_DAYS = (7, 30, 90)

_POINTS = 144
"""The maximum of points in a graph: one per ten minutes of a day."""

_ALERTS = 'alertname=~"Flashback.+", account=~"$account|"'
"""Alerts of the selected accounts, and alerts without an account."""

_ALERT = "alertname, severity, account, bucket_id, host, ip"
_STATE = 'alertstate="firing"'
_FIRING = f"max by ({_ALERT}) ({select('ALERTS', _ALERTS, _STATE)})"
_SINCE = f"min by ({_ALERT}) ({select('ALERTS_FOR_STATE', _ALERTS)}) and {_FIRING}"

_CHOSEN = f"max by (bucket_id) ({select(INFO, ACCOUNT)})"
_TODAY = f"max by (bucket_id) (last_over_time({select(INFO, ACCOUNT)}[1h] @ end()))"
"""The same at the end of the range, so that Prometheus evaluates it once and not at every step."""

_FAILING = _ALL.bucket("flashback_bucket_failing", keep="reason")
_LAST_GOOD = _ALL.bucket("flashback_bucket_last_success_timestamp_seconds")
_DOWN = f"max by (ip, host) ({select(DOWN, ACCOUNT)} > 0)"
_DOWN_SINCE = (
    "min by (ip, host) ("
    + select("ALERTS_FOR_STATE", 'alertname="FlashbackNodeDown"', ACCOUNT)
    + ")"
)

_UPTIME = "flashback_node_uptime_previous_day_ratio"
_BUDGET = "flashback_node_error_budget:remaining30d"
_WORST_BUCKETS = f"bottomk(20, {recorded_bucket(f'{_UPTIME}:avg30d')} and on (bucket_id) {_CHOSEN})"


def _counts(defaults: Defaults) -> Line:
    up = select("up", defaults.job)
    failing = named(f"{_ALL.bucket('flashback_bucket_up')} == bool 0")
    over_budget = named(f"{recorded_bucket(_BUDGET)} < bool 0")
    return line(
        4,
        panels.number(
            Text("Firing alerts", "Alerts of the exporter's rules for the selected accounts."),
            _BAD,
            Query(f"count({_FIRING}) or 0 * count({_CHOSEN})"),
        ),
        panels.number(
            Text(
                "Exporters down",
                "Targets of the exporter's job that did not respond to the latest scrape. No "
                "data means that Prometheus has no such target.",
                alert="FlashbackExporterDown",
            ),
            _BAD,
            Query(f"count({up}) - sum({up})"),
        ),
        panels.number(
            Text(
                "Failing buckets",
                "Buckets whose latest poll failed, or whose values are stale. It says nothing "
                "about their nodes.",
                alert="FlashbackBucketFailing",
            ),
            _BAD,
            Query(f"sum({failing})"),
        ),
        panels.number(
            Text(
                "Nodes down",
                "Nodes (ip and host) that are down for at least one bucket.",
                alert="FlashbackNodeDown",
            ),
            _BAD,
            Query(f"sum({down_now('ip, host')} > bool 0)"),
        ),
        panels.number(
            Text(
                "Oldest values",
                "The longest time since a bucket's last successful poll.",
                alert="FlashbackBucketFailing",
            ),
            Values("s", colours.age_thresholds(300, 3600), decimals=0),
            Query(f"time() - min({named(_LAST_GOOD)})"),
        ),
        panels.number(
            Text(
                "Buckets over budget",
                "Buckets that exceeded the error budget in 30 previous days.",
                alert="FlashbackNodePreviousDayUnderTarget",
            ),
            _BAD,
            Query(f"sum({over_budget})"),
        ),
        panels.number(
            Text("Buckets", "Number of buckets that the exporters poll."),
            _COUNT,
            Query(f"count({_CHOSEN})"),
        ),
        panels.number(
            Text("Nodes", "Different nodes (ip and host) that have a status."),
            _COUNT,
            Query(f"count({down_now('ip, host')})"),
        ),
    )


def _alerts() -> Line:
    of_bucket = f"({_SINCE}) * on (bucket_id) group_left (name) {info()}"
    since = f"({of_bucket} or (({_SINCE}) unless on (bucket_id) {info()}))"
    return line(
        10,
        tables.rows(
            Text(
                "List of firing alerts",
                "Newest first, by the time when each became pending. An alert fires after "
                "the rule's `for`. The runbook has a section for each.",
            ),
            {
                "severity": "Severity",
                "alertname": "Alert",
                "name": "Bucket",
                "bucket_id": "Bucket id",
                "host": "Host",
                "ip": "IP",
                "account": "Account",
            },
            tables.Column("For", f"time() - {since}", "s"),
            tables.Column("Since", f"{since} * 1000", "dateTimeAsIso"),
            leads={"name": links.row_to_bucket(), "host": links.row_to_node()},
            meanings={"severity": colours.SEVERITIES},
            by=("For", False),
        ),
    )


def _down() -> Line:
    last_good = named(f"{_LAST_GOOD} * on (bucket_id) group_right () ({_FAILING})")
    return line(
        6,
        tables.rows(
            Text(
                "Nodes that are down",
                "One row per node, newest first, with the share of its buckets for which it is "
                "down; with several accounts the largest share. No share means that it was down "
                "and is no longer listed.",
                alert="FlashbackNodeDown",
            ),
            {"host": "Host", "ip": "IP"},
            tables.Column("Buckets", _DOWN, "percentunit"),
            tables.Column("For", f"time() - {_DOWN_SINCE}", "s"),
            tables.Column("Since", f"{_DOWN_SINCE} * 1000", "dateTimeAsIso"),
            leads={"host": links.row_to_node()},
            by=("For", False),
        ),
        tables.rows(
            Text(
                "Failing buckets and reasons",
                "The reason of the latest failure and the last successful poll, if any. "
                "docs/metrics.md explains each reason.",
                alert="FlashbackBucketFailing",
            ),
            {"name": "Bucket", "bucket_id": "Bucket id", "account": "Account", "reason": "Reason"},
            tables.Column("Failing", named(_FAILING), hidden=True),
            tables.Column("For", f"time() - {last_good}", "s"),
            tables.Column("Last successful poll", f"{last_good} * 1000", "dateTimeAsIso"),
            leads={"name": links.row_to_bucket()},
            by=("For", False),
        ),
        shares=(13, 11),
    )


def _over_time() -> Line:
    return line(
        7,
        panels.lines(
            Text(
                "Nodes down over time",
                "Nodes of each account that were down for at least one bucket.",
                alert="FlashbackNodeDown",
            ),
            Values("short", low=0, decimals=0),
            Query(
                f"max by (account) ({select('account:flashback_node_down:count', ACCOUNT)})",
                "{{account}}",
            ),
            points=_POINTS,
        ),
        panels.lines(
            Text("Failing buckets by reason", "Buckets whose latest poll failed, by reason."),
            Values("short", low=0, decimals=0),
            Query(f"count by (reason) ({_FAILING} and on (bucket_id) {_TODAY})", "{{reason}}"),
            stacked=True,
            points=_POINTS,
            named=colours.REASONS,
        ),
    )


def _weeks(defaults: Defaults) -> Section:
    steps = colours.uptime_thresholds(defaults.target)
    of_buckets = {f"{days} days": recorded_bucket(f"{_UPTIME}:avg{days}d") for days in _DAYS}
    how = " Over the previous UTC days with data, without today."
    return Section(
        "Previous days",
        (
            line(
                11,
                tables.rows(
                    Text(
                        "Uptime by bucket",
                        "The mean over a bucket's nodes, for the 20 buckets with the lowest"
                        " 30-day uptime." + how,
                    ),
                    {"name": "Bucket", "bucket_id": "Bucket id", "account": "Account"},
                    *[
                        tables.Column(title, _of_the_worst(expr), "percentunit", steps, decimals=2)
                        for title, expr in of_buckets.items()
                    ],
                    tables.Column(
                        "Budget left",
                        _of_the_worst(recorded_bucket(_BUDGET)),
                        "percentunit",
                        colours.BUDGET,
                    ),
                    leads={"name": links.row_to_bucket()},
                    by=("30 days", False),
                ),
                tables.rows(
                    Text(
                        "Uptime by host",
                        "The mean over a host's buckets; the lowest of several addresses." + how,
                    ),
                    {"host": "Host"},
                    tables.Column(
                        "30 days", _of_hosts(f"{_UPTIME}:avg30d"), "percentunit", steps, decimals=2
                    ),
                    tables.Column("Budget left", _of_hosts(_BUDGET), "percentunit", colours.BUDGET),
                    leads={"host": links.row_to_node()},
                    by=("30 days", False),
                ),
            ),
        ),
    )


def _of_the_worst(expr: str) -> str:
    return named(f"{expr} and on (bucket_id) {_WORST_BUCKETS}")


def _of_hosts(record: str) -> str:
    """A recorded node series without an account label, for nodes of the selected accounts."""
    return f"min by (host) ({select(f'node:{record}')} and on (ip, host) {select(DOWN, ACCOUNT)})"


def _latency() -> Section:
    last = named(_ALL.node("flashback_node_latency_last_seconds"))
    average = named(_ALL.node("flashback_node_latency_average_seconds"))
    link = (links.series_to_node(),)
    return Section(
        "Latency (expensive: queries every node of every bucket)",
        (
            line(
                9,
                panels.lines(
                    Text(
                        "Latency by host",
                        "The latest measurement of each host, averaged over the buckets.",
                        link,
                    ),
                    _LATENCY,
                    Query(f"avg by (host) ({last})", "{{host}}"),
                    points=_POINTS,
                ),
                panels.lines(
                    Text(
                        "Slowest bucket by host",
                        "Today's average latency of each host, for the bucket with the highest.",
                        link,
                    ),
                    _LATENCY,
                    Query(f"max by (host) ({average})", "{{host}}"),
                    points=_POINTS,
                ),
            ),
        ),
        collapsed=True,
    )


def board(defaults: Defaults) -> Board:
    """The overview."""
    now = Section("Now", (_counts(defaults), _alerts(), _down(), _over_time()))
    return Board(
        name="overview",
        title="Flashback / Overview",
        description="Firing alerts, nodes down, failing buckets, and uptime of the last weeks.",
        variables=(variables.datasource(), *variables.where(), variables.account()),
        sections=(now, _weeks(defaults), _latency()),
        since="now-24h",
        refresh="2m",
    )
