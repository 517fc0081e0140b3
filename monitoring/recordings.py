"""Recording rules: buckets and nodes without scrape labels, burn rates, and previous days.

Named level:metric:operations. Whatever alerts and dashboards share is computed here, once.
"""

from __future__ import annotations

from monitoring.ruleset import (
    ACCOUNT,
    AGGREGATION,
    BUCKET,
    BUCKET_NODE,
    INFO,
    JOINED,
    NODE,
    Group,
    Record,
    promql,
)

BURN_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""Over which the observed status is averaged."""

PREVIOUS_DAYS = (7, 30, 90)
"""Over how many previous days uptime is told."""

BUDGET_DAYS = 30

BUCKETS = Group(
    "flashback-buckets",
    (
        Record(
            INFO,
            # While a name changes, or two shards have the bucket, there are two: one counts.
            promql(f"""
                topk by ({BUCKET}) (1,
                  max by ({BUCKET}, name, @bucket_labels@) (flashback_bucket_info)
                )
            """),
        ),
        Record(
            "account:flashback_account_discovered_buckets:max",
            f"max by ({ACCOUNT}) (flashback_account_discovered_buckets)",
        ),
        Record(
            "bucket:flashback_bucket_nodes:max",
            f"max by ({BUCKET}) (flashback_bucket_nodes)",
        ),
        Record(
            "bucket:flashback_bucket_nodes:without_status",
            promql(f"""
                max by ({BUCKET}) (flashback_bucket_nodes)
                - (
                  count by ({BUCKET}) (
                    max by ({BUCKET}, ip, host) (flashback_node_status)
                  )
                  or
                  0 * max by ({BUCKET}) (flashback_bucket_nodes)
                )
            """),
        ),
    ),
)

LAST_KNOWN = "bucket_node:flashback_node_down:last_known"

NOT_LISTED_SINCE = "bucket_node:flashback_node_not_listed:since"

NEW_DAY = "(vector(time() % 86400) < 7200)"
"""From 00:00 to 02:00 UTC the API may not have listed yet what it will list for the day."""

NOT_LISTED = f"{NOT_LISTED_SINCE} < time() - (time() - 7200) % 86400 + 78300"
"""What was missing before 23:45 UTC is missing; what went later is, if it is not there by 02:00.

The remainder counts days from 02:00 on: 78,300 s after their beginning it is 23:45. The quarter of
an hour is more than the API's clock may differ from ours."""

LISTED = Group(
    "flashback-listed-nodes",
    (
        # 1 where it is down, else 0. A field may be missing: any of four says that it is listed.
        Record(
            "bucket_node:flashback_node_down:max",
            promql(f"""
                max by ({BUCKET_NODE}) (
                  flashback_node_status{{status=~"@down_statuses@"}}
                )
                or
                0 * group by ({BUCKET_NODE}) (
                  flashback_node_info
                  or flashback_node_status
                  or flashback_node_last_updated_timestamp_seconds
                  or flashback_node_latency_last_seconds
                )
            """),
        ),
        # What the API last said of a node that it does not list any more, where it answers.
        Record(
            LAST_KNOWN,
            promql(f"""
                (
                  last_over_time(bucket_node:flashback_node_down:max[1d])
                  unless
                  bucket_node:flashback_node_down:max
                )
                and on ({BUCKET})
                max by ({BUCKET}) (flashback_bucket_up) == 1
            """),
        ),
        # Goes by its own past, so that an outage of Prometheus is not taken for one of the node.
        Record(
            NOT_LISTED_SINCE,
            promql(f"""
                (
                  last_over_time({NOT_LISTED_SINCE}[10m])
                  and
                  {LAST_KNOWN}
                )
                or
                0 * {LAST_KNOWN} + time()
            """),
        ),
    ),
    interval="2m",
)

NODES = Group(
    "flashback-nodes",
    (
        Record(
            "node:flashback_node_down:avg",
            promql(f"""
                avg by ({NODE}) (
                  max by ({BUCKET}, ip, host) (
                    flashback_node_status{{status=~"@down_statuses@"}}
                  )
                  {JOINED}
                )
            """),
        ),
        *(
            Record(
                f"node:flashback_node_down:avg{window}",
                f"avg_over_time(node:flashback_node_down:avg[{window}])",
            )
            for window in BURN_WINDOWS
        ),
        *(
            Record(
                f"node:flashback_node_error_budget:burnrate{window}",
                promql(f"""
                    node:flashback_node_down:avg{window} / (1 -
                      @slo_target@
                    )
                """),
            )
            for window in BURN_WINDOWS
        ),
    ),
)


def _per_day(level: str) -> str:
    """The previous days' figures of a level, to be looked at once a day, at 00:00 UTC.

    A day's figure is shown from 00:10 to 01:10 of the next day at the latest until 00:10 of the
    one after that. The last half hour of that day is looked at, and as long as it lies ahead, or
    has nothing, the time from 01:30 to 02:00. In both there is one figure, whoever shows it.
    """
    shown = "max by ({labels}) (\n    last_over_time({metric}[30m] offset {ahead})\n  )"
    metric = "flashback_node_uptime_previous_day_ratio"
    late, early = (
        shown.format(labels=f"{BUCKET}, ip, host", metric=metric, ahead=ahead)
        for ahead in ("-1d", "-2h")
    )
    return f"avg by ({level}) (\n  {late}\n  or\n  {early}\n)"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _over_days(function: str, level: str, days: int) -> str:
    return f"{function}(\n  {_indented(_per_day(level))}[{days}d:1d] offset 2h\n)"


def _previous_days(level: str, labels: str) -> tuple[Record, ...]:
    uptime = f"{level}:flashback_node_uptime_previous_day_ratio"
    budget = f"{level}:flashback_node_error_budget:remaining{BUDGET_DAYS}d"
    averages = (
        Record(f"{uptime}:avg{days}d", _over_days("avg_over_time", labels, days))
        for days in PREVIOUS_DAYS
    )
    counts = (
        Record(f"{uptime}:count{days}d", _over_days("count_over_time", labels, days))
        for days in PREVIOUS_DAYS
    )
    spent = promql(f"""
        1 - (
          {uptime}:count{BUDGET_DAYS}d
          * (1 - {uptime}:avg{BUDGET_DAYS}d)
        ) / ({BUDGET_DAYS} * (1 -
          @slo_target@
        ))
    """)
    return (*averages, *counts, Record(budget, spent))


CLOSED = (
    Group("flashback-previous-days-of-nodes", _previous_days("node", f"{AGGREGATION}, ip, host")),
    Group("flashback-previous-days-of-buckets", _previous_days("bucket", BUCKET)),
)

GROUPS = (BUCKETS, LISTED, NODES, *CLOSED)
