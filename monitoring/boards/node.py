"""One host across buckets: whether it is down for one bucket or for all."""

from __future__ import annotations

from monitoring.boards import colours, links, panels, tables, variables
from monitoring.boards.layout import Board, Defaults, Section, line
from monitoring.boards.panels import Query, Text, Values
from monitoring.boards.queries import LATENCY, STATUS, Scope
from monitoring.boards.sdk import dashboard

_HOST = Scope(nodes='bucket_id=~"$bucket", host="$host"')
_BUCKET = "{{name}} {{ip}}"
_TO_BUCKET = (links.series_to_bucket(),)

_SEEN = _HOST.named(_HOST.node("flashback_node_last_updated_timestamp_seconds"))
_TODAY = _HOST.named(_HOST.node("flashback_node_uptime_ratio"))
_LAST = _HOST.named(_HOST.node("flashback_node_latency_last_seconds"))
_AVERAGE = _HOST.named(_HOST.node("flashback_node_latency_average_seconds"))


def _uptime(defaults: Defaults) -> Values:
    return Values("percentunit", colours.uptime_thresholds(defaults.target), low=0, high=1)


def _now(defaults: Defaults) -> Section:
    down = _HOST.named(_HOST.node(STATUS, f'status=~"{defaults.down}"'))
    return Section(
        "Now",
        (
            line(
                4,
                panels.number(
                    Text("Buckets", "Selected buckets whose latest values include the host."),
                    Values("short", decimals=0),
                    Query(f"count(count by (bucket_id) ({_SEEN}))"),
                ),
                panels.number(
                    Text(
                        "Down for buckets",
                        "Buckets for which the host is down.",
                        alert="FlashbackNodeDown",
                    ),
                    Values("short", colours.ZERO_IS_GOOD, decimals=0),
                    Query(f"sum(max by (bucket_id) ({down}))"),
                ),
                panels.number(
                    Text("Latency", "Latest measurement, averaged over the buckets."),
                    Values("s"),
                    Query(f"avg({_LAST})"),
                ),
                panels.number(
                    Text(
                        "Lowest uptime, previous day",
                        "The lowest uptime on the previous day.",
                        alert="FlashbackNodePreviousDayUnderTarget",
                    ),
                    _uptime(defaults),
                    Query(f"min({_HOST.named(_HOST.newest_day())})"),
                ),
                panels.number(
                    Text(
                        "Oldest report",
                        "Age of the API's oldest values of the host.",
                        alert="FlashbackNodeReportOld",
                    ),
                    Values("s", colours.age_thresholds(900, 3600), decimals=0),
                    Query(f"time() - min({_SEEN})"),
                ),
                panels.number(
                    Text("Versions", "Number of different software versions of this host."),
                    Values("short", ((1, colours.GOOD), (2, colours.WARNING)), decimals=0),
                    Query(
                        "count(count by (version) ("
                        + _HOST.named(_HOST.node("flashback_node_info", keep="version"))
                        + "))"
                    ),
                ),
            ),
            line(8, _table(defaults)),
        ),
    )


def _table(defaults: Defaults) -> dashboard.Panel:
    keys = "bucket_id, name, ip"
    status = _HOST.named(f"{_HOST.node('flashback_node_status', keep='status')} == 1")
    version = _HOST.named(_HOST.node("flashback_node_info", keep="version"))
    return tables.rows(
        Text("By bucket", "The latest values of the host for each bucket."),
        {
            "name": "Bucket",
            "bucket_id": "Bucket id",
            "ip": "IP",
            "status": "Status",
            "version": "Version",
        },
        tables.Column("Is", f"max by ({keys}, status) ({status})", hidden=True),
        tables.Column("Runs", f"max by ({keys}, version) ({version})", hidden=True),
        tables.Column("Uptime today", f"max by ({keys}) ({_TODAY})", "percentunit"),
        tables.Column(
            "Uptime, previous day",
            f"max by ({keys}) ({_HOST.named(_HOST.newest_day())})",
            "percentunit",
            colours.uptime_thresholds(defaults.target),
        ),
        tables.Column("Latency", f"max by ({keys}) ({_LAST})", "s"),
        tables.Column("Reported", f"time() - max by ({keys}) ({_SEEN})", "s"),
        leads={"name": links.row_to_bucket()},
        meanings={"status": colours.STATUS_NAMES},
    )


def _over_time() -> Section:
    return Section(
        "Over time",
        (
            line(
                9,
                panels.states(
                    Text("Status by bucket", "Status of the host for each bucket.", _TO_BUCKET),
                    Values("short", meanings=colours.STATUSES),
                    Query(_HOST.named(_HOST.status_code()), _BUCKET),
                ),
                panels.lines(
                    Text(
                        "Uptime today",
                        "Lowest, average and highest over the buckets. Restarts at 00:00 UTC. "
                        "Values below 90 % are outside the axis.",
                    ),
                    Values("percentunit", low=0.9, high=1),
                    Query(f"min({_TODAY})", "lowest"),
                    Query(f"avg({_TODAY})", "average"),
                    Query(f"max({_TODAY})", "highest"),
                ),
            ),
            line(
                8,
                panels.lines(
                    Text(
                        "Latest latency by bucket",
                        "The latest measurement for each bucket.",
                        _TO_BUCKET,
                    ),
                    Values("s", low=0),
                    Query(_LAST, _BUCKET),
                ),
                panels.lines(
                    Text(
                        "Mean latency today by bucket", "The average since 00:00 UTC.", _TO_BUCKET
                    ),
                    Values("s", low=0),
                    Query(_AVERAGE, _BUCKET),
                ),
            ),
        ),
    )


def _previous_days(defaults: Defaults) -> Section:
    uptime = _HOST.named(_HOST.previous_day(), history=True)
    latency = _HOST.named(_HOST.previous_day(LATENCY), history=True)
    return Section(
        "Previous days",
        (
            line(
                9,
                panels.days(
                    Text(
                        "Uptime for each bucket",
                        "A cell is a previous day in UTC. If all buckets are red, check the "
                        "node; if one is, check the bucket.",
                        _TO_BUCKET,
                    ),
                    _uptime(defaults),
                    Query(uptime, _BUCKET),
                ),
                panels.lines(
                    Text(
                        "Latency for each bucket", "The average of each previous day.", _TO_BUCKET
                    ),
                    Values("s", low=0),
                    Query(latency, _BUCKET),
                    daily=True,
                ),
            ),
        ),
    )


def board(defaults: Defaults) -> Board:
    """The dashboard of a node."""
    return Board(
        name="node",
        title="Flashback / Node",
        description="One host as all buckets see it.",
        variables=(
            variables.datasource(),
            *variables.where(),
            variables.account(),
            variables.buckets(),
            variables.host(),
        ),
        sections=(_now(defaults), _over_time(), _previous_days(defaults)),
        since="now-7d",
    )
