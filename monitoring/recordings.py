"""Recording rules: buckets and nodes without scrape labels, burn rates, and previous days.

Named level:metric:operations. Whatever alerts and dashboards share is computed here, once.
"""

from __future__ import annotations

from monitoring.ruleset import (
    ACCOUNT,
    AGGREGATION,
    BUCKET,
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

ONE_A_DAY = 1_000_000
"""More nodes than a bucket can have: days, times this, sort before numbers of nodes."""

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
        Record(
            "bucket:flashback_bucket_nodes:day_and_max",
            # The day counts for more than the nodes: a maximum over time is that of the newest day.
            promql(f"""
                max by ({BUCKET}) (
                  flashback_bucket_stats_day_timestamp_seconds / 86400 * {ONE_A_DAY}
                  + flashback_bucket_nodes
                )
            """),
        ),
    ),
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

GROUPS = (BUCKETS, NODES, *CLOSED)
