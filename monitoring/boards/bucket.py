"""One bucket: its polls, and its nodes now and on previous days."""

from __future__ import annotations

from monitoring.boards import colours, links, panels, tables, variables
from monitoring.boards.layout import Board, Defaults, Section, line
from monitoring.boards.panels import Query, Text, Values
from monitoring.boards.queries import LATENCY, Scope, select

_ONE = Scope(buckets='bucket_id="$bucket"', nodes='bucket_id="$bucket"')
_NODE = "{{host}} {{ip}}"
_POLLED = _ONE.bucket("flashback_bucket_up")
"""Exists while an exporter polls the bucket."""

_TO_NODE = (links.series_to_node(),)


def _uptime(defaults: Defaults) -> Values:
    return Values("percentunit", colours.uptime_thresholds(defaults.target), low=0, high=1)


def _reading(defaults: Defaults) -> Section:
    return Section(
        "Polling",
        (
            line(
                4,
                panels.number(
                    Text(
                        "Polls",
                        "Up means that the latest poll succeeded and the values are not stale. "
                        "It says nothing about the nodes.",
                        alert="FlashbackBucketFailing",
                    ),
                    Values("short", colours.ZERO_IS_BAD, colours.UP),
                    Query(_POLLED),
                ),
                panels.number(
                    Text(
                        "Failure reason",
                        'The reason of the latest failure; "not failing" while the bucket is up.',
                        alert="FlashbackBucketFailing",
                    ),
                    Values("none", colours.ZERO_IS_GOOD),
                    Query(_ONE.bucket("flashback_bucket_failing", keep="reason"), "{{reason}}"),
                    Query(f"({_POLLED} == 1) * 0", "not failing"),
                    name_only=True,
                ),
                panels.number(
                    Text(
                        "Nodes",
                        "Nodes in the current values. No data while they are stale.",
                        alert="FlashbackBucketFewerNodes",
                    ),
                    Values("short", colours.ZERO_IS_BAD, decimals=0),
                    Query(_ONE.bucket("flashback_bucket_nodes")),
                ),
                panels.number(
                    Text("Last successful poll", "Time since the last successful poll."),
                    Values("s", colours.age_thresholds(300, 3600), decimals=0),
                    Query(
                        f"time() - {_ONE.bucket('flashback_bucket_last_success_timestamp_seconds')}"
                    ),
                ),
                panels.number(
                    Text(
                        "Day of the values",
                        "The UTC day of the values. Just after midnight it may still be the "
                        "previous day.",
                    ),
                    Values("time:YYYY-MM-DD"),
                    Query(_ONE.bucket("flashback_bucket_stats_day_timestamp_seconds") + " * 1000"),
                ),
                panels.number(
                    Text(
                        "Lowest uptime, previous day",
                        "The lowest uptime of a node on the previous day.",
                        alert="FlashbackNodePreviousDayUnderTarget",
                    ),
                    _uptime(defaults),
                    Query(f"min({_ONE.newest_day()} and on (bucket_id) {_POLLED})"),
                ),
            ),
        ),
    )


def _nodes(defaults: Defaults) -> Section:
    status = f"{_ONE.node('flashback_node_status', keep='status')} == 1"
    version = _ONE.node("flashback_node_info", keep="version")
    updated = _ONE.node("flashback_node_last_updated_timestamp_seconds")
    return Section(
        "Nodes now",
        (
            line(
                9,
                tables.rows(
                    Text(
                        "Nodes in the latest poll",
                        "The latest values of each node. Today's uptime still changes, and the "
                        "API does not document what it is a share of: judge nodes by previous "
                        "days.",
                        alert="FlashbackBucketFewerNodes",
                    ),
                    {"host": "Host", "ip": "IP", "status": "Status", "version": "Version"},
                    tables.Column("Is", f"max by (ip, host, status) ({status})", hidden=True),
                    tables.Column("Runs", f"max by (ip, host, version) ({version})", hidden=True),
                    tables.Column(
                        "Uptime today",
                        f"max by (ip, host) ({_ONE.node('flashback_node_uptime_ratio')})",
                        "percentunit",
                    ),
                    tables.Column(
                        "Uptime, previous day",
                        f"max by (ip, host) ({_ONE.newest_day()})",
                        "percentunit",
                        colours.uptime_thresholds(defaults.target),
                    ),
                    tables.Column(
                        "Latency",
                        f"max by (ip, host) ({_ONE.node('flashback_node_latency_last_seconds')})",
                        "s",
                    ),
                    tables.Column("Data age", f"time() - max by (ip, host) ({updated})", "s"),
                    leads={"host": links.row_to_node()},
                    meanings={"status": colours.STATUS_NAMES},
                ),
            ),
            line(
                8,
                panels.states(
                    Text(
                        "Status",
                        "The status of each node at each poll.",
                        _TO_NODE,
                        alert="FlashbackNodeDown",
                    ),
                    Values("short", meanings=colours.STATUSES),
                    Query(f"max by (ip, host) ({_ONE.status_code()})", _NODE),
                ),
                panels.lines(
                    Text(
                        "Uptime today",
                        "Restarts at 00:00 UTC. Values below 90 % are outside the axis. The API "
                        "does not document whether it is a share of the elapsed time or of the "
                        "full day.",
                        _TO_NODE,
                    ),
                    Values("percentunit", low=0.9, high=1),
                    Query(_ONE.node("flashback_node_uptime_ratio"), _NODE),
                ),
            ),
            line(
                8,
                panels.lines(
                    Text("Latest latency", "The latest measurement of each node.", _TO_NODE),
                    Values("s", low=0),
                    Query(_ONE.node("flashback_node_latency_last_seconds"), _NODE),
                ),
                panels.lines(
                    Text("Mean latency today", "The average since 00:00 UTC.", _TO_NODE),
                    Values("s", low=0),
                    Query(_ONE.node("flashback_node_latency_average_seconds"), _NODE),
                ),
            ),
        ),
    )


def _previous_days(defaults: Defaults) -> Section:
    return Section(
        "Previous days",
        (
            line(
                9,
                panels.days(
                    Text(
                        "Uptime by node and day",
                        "A cell is a previous day in UTC, including nodes no longer listed. Select "
                        "a range of several weeks. Backfilled days are included.",
                        _TO_NODE,
                    ),
                    _uptime(defaults),
                    Query(_ONE.previous_day(), _NODE),
                ),
                panels.lines(
                    Text(
                        "Latency by node and day",
                        "The average of each previous day in UTC.",
                        _TO_NODE,
                    ),
                    Values("s", low=0),
                    Query(_ONE.previous_day(LATENCY), _NODE),
                    daily=True,
                ),
            ),
        ),
    )


def _about() -> Section:
    info = "bucket_id, name, account, storage_type, region, workspace_id"
    return Section(
        "About the bucket",
        (
            line(
                5,
                tables.rows(
                    Text(
                        "Name and account",
                        "The last three are empty unless the bucket was discovered. Your own "
                        "labels are on flashback_bucket_info.",
                    ),
                    {
                        "name": "Bucket",
                        "bucket_id": "Bucket id",
                        "account": "Account",
                        "storage_type": "Storage",
                        "region": "Region",
                        "workspace_id": "Workspace",
                    },
                    tables.Column(
                        "Info",
                        f"max by ({info}) ({select('flashback_bucket_info', _ONE.buckets)})",
                        hidden=True,
                    ),
                ),
                panels.lines(
                    Text(
                        "Poll duration",
                        "Duration of the latest poll, including retries.",
                    ),
                    Values("s", low=0),
                    Query(_ONE.bucket("flashback_bucket_poll_duration_seconds"), "poll"),
                ),
            ),
        ),
    )


def board(defaults: Defaults) -> Board:
    """The dashboard of a bucket."""
    return Board(
        name="bucket",
        title="Flashback / Bucket",
        description="One bucket: its polls, its nodes now and on previous days.",
        variables=(
            variables.datasource(),
            *variables.where(),
            variables.account(),
            variables.one_bucket(),
        ),
        sections=(_reading(defaults), _nodes(defaults), _previous_days(defaults), _about()),
        since="now-7d",
    )
