"""Recording rules: buckets and nodes without scrape labels, burn rates, and previous days.

Named level:metric:operations. Whatever alerts and dashboards share is computed here, once.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitoring.ruleset import (
    ACCOUNT,
    ACCOUNT_NODE,
    AGGREGATION,
    BUCKET,
    BUCKET_NODE,
    INFO,
    NODE,
    WITH_ACCOUNT,
    WITH_BUCKET_LABELS,
    Group,
    Record,
    promql,
)

SHORT_WINDOWS = ("5m", "30m")
LONG_WINDOWS = ("1h", "2h", "6h", "1d", "3d")
"""The windows over which the observed status is averaged; the long ones use `EVERY_4M`."""

COVERAGE = {"1h": ("4m", 8), "6h": ("6m", 30), "1d": ("24m", 30), "3d": ("72m", 30)}
"""Windows that need data for half of their length: the subquery's step and the least samples."""

EVERY_4M = "node:flashback_node_down:avg4m"

PREVIOUS_DAYS = (7, 30, 90)
"""The numbers of previous days over which uptime is averaged."""

BUDGET_DAYS = 30

UPTIME = "flashback_node_uptime_previous_day_ratio"

LEVELS = {"node": f"{AGGREGATION}, ip, host", "bucket": BUCKET}

DAILY_RECORDING_TIMES = (
    "(vector((time() - 6960) % 86400) > 0 <= 240 or vector((time() + 240) % 86400) > 0 <= 240)"
)
"""True for the last evaluation before 02:00 and 24:00 UTC: all buckets then show the same day.

A day's values are exposed from 00:10 (01:10 at the latest) of the next day to 00:10 of the day
after that."""

BUCKETS = Group(
    "flashback-buckets",
    (
        Record(
            INFO,
            # There are two series during a rename or while two shards have the bucket: keep one.
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
                    max by ({BUCKET}, ip, host) (flashback_node_status{{status="UNKNOWN"}})
                  )
                  or
                  0 * max by ({BUCKET}) (flashback_bucket_nodes)
                )
            """),
        ),
    ),
)

LAST_KNOWN = "bucket_node:flashback_node_down:last_known"

LISTED_COUNT = "node:flashback_node_listed:count"

NOT_LISTED_SINCE = "bucket_node:flashback_node_not_listed:since"

NEW_DAY = "(vector(time() % 86400) < 7200)"
"""00:00 to 02:00 UTC, when the API may not list all nodes of the new day yet."""

_BEFORE_MIDNIGHT = "time() - (time() - 7200) % 86400 + 78300"
"""The Unix time of 23:45 UTC, 78,300 s after the most recent 02:00: before 02:00 that of the
previous day, later that of the current day. The API's clock may be ahead, so nodes dropped in the
last quarter of an hour are treated like those dropped at midnight."""

NOT_LISTED = f"{NOT_LISTED_SINCE} < {_BEFORE_MIDNIGHT}"
"""Nodes that the API dropped before 23:45 UTC; nodes that it dropped later count from 02:00 on."""


def not_listed(matchers: str) -> str:
    """NOT_LISTED for the matching series, escaped for a template's printf."""
    return f"{NOT_LISTED_SINCE}{{{matchers}}} < {_BEFORE_MIDNIGHT.replace('%', '%%')}"


LISTED = Group(
    "flashback-listed-nodes",
    (
        # 1 if the node is down, else 0. Any of four metrics shows that it is listed.
        Record(
            "bucket_node:flashback_node_down:max",
            promql(f"""
                max by ({BUCKET_NODE}) (
                  flashback_node_status{{status=~"@down_statuses@"}}
                )
                or
                0 * group by ({BUCKET_NODE}) (
                  flashback_node_info
                  or flashback_node_status{{status="UNKNOWN"}}
                  or flashback_node_last_updated_timestamp_seconds
                  or flashback_node_latency_last_seconds
                )
            """),
        ),
        # The last value of a node that the latest successful poll no longer contains.
        Record(
            LAST_KNOWN,
            promql(f"""
                (
                  last_over_time(bucket_node:flashback_node_down:max[1d])
                  unless
                  bucket_node:flashback_node_down:max
                )
                and on ({BUCKET})
                max by ({BUCKET}) (flashback_bucket_nodes)
            """),
        ),
        Record(
            LISTED_COUNT,
            promql(f"""
                count by ({ACCOUNT_NODE}) (
                  bucket_node:flashback_node_down:max
                  {WITH_ACCOUNT}
                )
            """),
        ),
        # Keeps its first value, so that an outage of Prometheus does not count as absence.
        Record(
            NOT_LISTED_SINCE,
            promql(f"""
                (
                  last_over_time({NOT_LISTED_SINCE}[1h])
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


def _down(window: str, series: str) -> Record:
    return Record(f"node:flashback_node_down:avg{window}", f"avg_over_time({series}[{window}])")


def _burn_rate(window: str) -> Record:
    """The burn rate; no sample if a window in COVERAGE lacks data for over half of its length."""
    rate = f"""
        node:flashback_node_down:avg{window} / (1 -
          @slo_target@
        )
    """
    if window in COVERAGE:
        step, least = COVERAGE[window]
        rate += f"""
        and
        count_over_time({EVERY_4M}[{window}:{step}]) >= {least}
        """
    return Record(f"node:flashback_node_error_budget:burnrate{window}", promql(rate))


NODES = Group(
    "flashback-nodes",
    (
        Record(
            "node:flashback_node_down:avg",
            promql(f"""
                avg by ({NODE}) (
                  max by ({BUCKET_NODE}) (
                    flashback_node_status{{status=~"@down_statuses@"}}
                  )
                  {WITH_BUCKET_LABELS}
                )
            """),
        ),
        *(_down(window, "node:flashback_node_down:avg") for window in SHORT_WINDOWS),
        *map(_burn_rate, SHORT_WINDOWS),
        # A node of several accounts counts once for each.
        Record(
            "account:flashback_node_down:count",
            f"sum by ({ACCOUNT}) (node:flashback_node_down:avg > bool 0)",
        ),
    ),
)

LONG = Group(
    "flashback-nodes-over-hours",
    (
        _down("4m", "node:flashback_node_down:avg"),
        *(_down(window, EVERY_4M) for window in LONG_WINDOWS),
        *map(_burn_rate, LONG_WINDOWS),
    ),
    interval="4m",
)

DAYS = (
    Group(
        "flashback-days",
        tuple(
            Record(
                f"{level}:{UPTIME}:avg",
                promql(f"""
                    avg by ({labels}) (
                      max by ({BUCKET_NODE}) ({UPTIME})
                    )
                    and on ()
                    {DAILY_RECORDING_TIMES}
                """),
            )
            for level, labels in LEVELS.items()
        ),
        interval="4m",
    ),
)


def _over_days(function: str, level: str, days: int) -> str:
    """A function over the values of the previous days, using the latest recorded value of each day.

    The subquery steps through each 00:00 UTC; the negative offset reads the samples that were
    recorded from 01:55 to 24:00 of that day. The last offset is a second below two hours: before
    Prometheus 3 a range includes its start, so at 02:00:00 it would contain a day too many.
    """
    return promql(f"""
        {function}(
          last_over_time({level}:{UPTIME}:avg[22h5m] offset -1d)[{days}d:1d] offset 1h59m59s
        )
    """)


def _over_previous_days(level: str) -> Iterator[Record]:
    uptime = f"{level}:{UPTIME}"
    for days in PREVIOUS_DAYS:
        yield Record(f"{uptime}:avg{days}d", _over_days("avg_over_time", level, days))
        yield Record(f"{uptime}:count{days}d", _over_days("count_over_time", level, days))
    yield Record(
        f"{level}:flashback_node_error_budget:remaining{BUDGET_DAYS}d",
        promql(f"""
            1 - (
              {uptime}:count{BUDGET_DAYS}d
              * (1 - {uptime}:avg{BUDGET_DAYS}d)
            ) / ({BUDGET_DAYS} * (1 -
              @slo_target@
            ))
        """),
    )


OVER_DAYS = tuple(
    Group(f"flashback-previous-days-of-{level}s", (*_over_previous_days(level),), interval="4m")
    for level in LEVELS
)

GROUPS = (BUCKETS, LISTED, NODES, LONG)
