"""The first page: which nodes are down, which buckets fail and why, how the last weeks were."""

from __future__ import annotations

from monitoring.boards import colours, links, panels, tables, variables
from monitoring.boards.layout import Board, Defaults, Section, line
from monitoring.boards.panels import Query, Text, Values
from monitoring.boards.queries import Scope, or_zero

_ALL = Scope()
_COUNT = Values("short", decimals=0)
_BAD = Values("short", colours.NONE_IS_GOOD, decimals=0)
_LATENCY = Values("s", low=0)
_DAYS = Values("percentunit", colours.UPTIMES, low=0, high=1)

_FAILING = (
    f"({_ALL.bucket('flashback_bucket_failing', keep='reason')} == 1)"
    f" and on (bucket_id) ({_ALL.bucket('flashback_bucket_up')} == 0)"
)
_SINCE = f"time() - {_ALL.bucket('flashback_bucket_last_success_timestamp_seconds')}"
_BUCKETS_DOWN = f"count by (ip, host) ({_ALL.named(_ALL.down())})"


def _counts() -> Section:
    seen = _ALL.named(_ALL.node("flashback_node_last_updated_timestamp_seconds"))
    failing = _ALL.named(f"{_ALL.bucket('flashback_bucket_up')} == bool 0")
    return Section(
        "Now",
        (
            line(
                4,
                panels.number(
                    Text("Buckets", "How many buckets the exporters poll."),
                    _COUNT,
                    Query(f"count({_ALL.info()})"),
                ),
                panels.number(
                    Text(
                        "Failing buckets",
                        "Buckets whose newest poll failed, or whose readings are stale. It says"
                        " nothing about their nodes.",
                        alert="FlashbackBucketFailing",
                    ),
                    _BAD,
                    Query(f"sum({failing})"),
                ),
                panels.number(
                    Text("Nodes", "Different nodes (ip and host) over all chosen buckets."),
                    _COUNT,
                    Query(f"count(count by (ip, host) ({seen}))"),
                ),
                panels.number(
                    Text(
                        "Nodes down",
                        "Nodes that at least one chosen bucket sees down.",
                        alert="FlashbackNodeDown",
                    ),
                    _BAD,
                    Query(or_zero(f"count({_BUCKETS_DOWN})")),
                ),
                panels.number(
                    Text(
                        "Worst previous day",
                        "The lowest uptime of any node on the newest previous day, in UTC.",
                        alert="FlashbackNodeClosedDayUnderTarget",
                    ),
                    _DAYS,
                    Query(f"min({_ALL.named(_ALL.newest_day())})"),
                ),
                panels.number(
                    Text(
                        "Oldest good poll",
                        "For how long the bucket that was not read for the longest was not read.",
                    ),
                    Values(
                        "s", ((None, colours.GREEN), (300, colours.ORANGE), (3600, colours.RED))
                    ),
                    Query(f"max({_ALL.named(_SINCE)})"),
                ),
            ),
        ),
    )


def _trouble() -> Section:
    return Section(
        "Trouble",
        (
            line(
                9,
                tables.rows(
                    Text(
                        "Nodes down",
                        "One row per node, with the number of buckets that see it down,"
                        " out of those that it serves.",
                        alert="FlashbackNodeDown",
                    ),
                    {"host": "Host", "ip": "IP"},
                    tables.Column("Down for buckets", _BUCKETS_DOWN),
                    tables.Column(
                        "Of buckets",
                        "count by (ip, host) ("
                        + _ALL.named(_ALL.node("flashback_node_status", 'status="UNKNOWN"'))
                        + f") and on (ip, host) {_BUCKETS_DOWN}",
                    ),
                    leads={"host": links.row_to_node()},
                ),
                tables.rows(
                    Text(
                        "Failing buckets and why",
                        "The reason of the newest failure and the time since the last good poll;"
                        " none where there never was one. docs/metrics.md explains each reason.",
                        alert="FlashbackBucketFailing",
                    ),
                    {
                        "name": "Bucket",
                        "bucket_id": "Bucket id",
                        "account": "Account",
                        "reason": "Reason",
                    },
                    tables.Column("Failing", _ALL.named(_FAILING), hidden=True),
                    tables.Column(
                        "Since good poll",
                        _ALL.named(f"({_SINCE}) * on (bucket_id) group_right () ({_FAILING})"),
                        "s",
                    ),
                    leads={"name": links.row_to_bucket()},
                ),
            ),
            line(
                7,
                panels.lines(
                    Text(
                        "Nodes down",
                        "Different nodes that at least one bucket sees down.",
                        alert="FlashbackNodeDown",
                    ),
                    Values("short", low=0, decimals=0),
                    Query(or_zero(f"count({_BUCKETS_DOWN})"), "nodes down"),
                ),
                panels.lines(
                    Text("Failing buckets by reason", "Buckets whose newest poll failed, by why."),
                    Values("short", low=0, decimals=0),
                    Query(f"count by (reason) ({_ALL.named(_FAILING)})", "{{reason}}"),
                    stacked=True,
                ),
            ),
        ),
    )


def _weeks() -> Section:
    closed = _ALL.named(_ALL.previous_day(), history=True)
    how = (
        " A cell is a previous day in UTC, of the last 4 weeks whatever is chosen above. Today is"
        " not there, as its figures still change; days that were backfilled are."
    )
    return Section(
        "Previous days",
        (
            line(
                12,
                panels.days(
                    Text(
                        "Uptime by bucket",
                        "Each bucket's worst node." + how,
                        (links.series_to_bucket(),),
                    ),
                    _DAYS,
                    Query(f"min by (bucket_id, name) ({closed})", "{{name}}"),
                    since="28d",
                ),
                panels.days(
                    Text(
                        "Uptime by host",
                        "Each host's uptime for the bucket that saw it worst." + how,
                        (links.series_to_node(),),
                    ),
                    _DAYS,
                    Query(f"min by (host) ({closed})", "{{host}}"),
                    since="28d",
                ),
            ),
        ),
    )


def _latency() -> Section:
    last = _ALL.named(_ALL.node("flashback_node_latency_last_seconds"))
    average = _ALL.named(_ALL.node("flashback_node_latency_average_seconds"))
    link = (links.series_to_node(),)
    return Section(
        "Latency",
        (
            line(
                9,
                panels.lines(
                    Text(
                        "Latency by host",
                        "The newest measurement of each host, averaged over the buckets.",
                        link,
                    ),
                    _LATENCY,
                    Query(f"avg by (host) ({last})", "{{host}}"),
                ),
                panels.lines(
                    Text(
                        "Slowest bucket by host",
                        "The running day's average latency to each host, for the bucket for which"
                        " it is the slowest.",
                        link,
                    ),
                    _LATENCY,
                    Query(f"max by (host) ({average})", "{{host}}"),
                ),
            ),
        ),
    )


def board(defaults: Defaults) -> Board:
    """The overview."""
    return Board(
        name="overview",
        title="Flashback / Overview",
        description="Nodes and buckets of Flashback at a glance, and previous days.",
        variables=(
            variables.datasource(),
            variables.account(),
            variables.buckets(),
            variables.down(defaults.down),
        ),
        sections=(_counts(), _trouble(), _weeks(), _latency()),
        since="now-24h",
    )
