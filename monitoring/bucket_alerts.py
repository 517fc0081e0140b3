"""Alerts about single buckets. They carry the bucket's name, account and team."""

from __future__ import annotations

from monitoring.recordings import ONE_A_DAY
from monitoring.ruleset import (
    BUCKET,
    BUCKET_NAME,
    JOINED,
    SCOPE,
    SCOPE_VALUES,
    Alert,
    Group,
    counted,
    promql,
    values_of,
)

_NODES_NOW = "bucket:flashback_bucket_nodes:day_and_max"
_BUCKET = f"{BUCKET_NAME} ({{{{ $labels.bucket_id }}}}) of account {{{{ $labels.account }}}}"

GROUPS = (
    Group(
        "flashback-alerts-of-buckets",
        (
            Alert(
                "FlashbackBucketFailing",
                severity="warning",
                wait="@bucket_failing_for@",
                summary=f"Polls of bucket {BUCKET_NAME} fail",
                description=(
                    f"Polls of bucket {_BUCKET} fail. Reason: "
                    + values_of(
                        "reason",
                        f"count by (reason) (flashback_bucket_failing{{{SCOPE},bucket_id=%+q}})",
                        SCOPE_VALUES,
                        "$labels.bucket_id",
                    )
                    + "."
                ),
                expr=promql(f"""
                    (max by ({BUCKET}) (flashback_bucket_up) == 0)
                    {JOINED}
                """),
            ),
            Alert(
                "FlashbackBucketWithoutOnlineNodes",
                severity="critical",
                wait="@bucket_offline_for@",
                summary=f"Bucket {BUCKET_NAME} has no online node",
                description=(
                    f"Bucket {_BUCKET} has no online node: all of its nodes are down, or it has had"
                    " none for two hours."
                ),
                # Two hours: a new day may begin without nodes.
                expr=promql(f"""
                    (
                      min by ({BUCKET}) (
                        max by ({BUCKET}, ip, host) (
                          flashback_node_status{{status=~"@down_statuses@"}}
                        )
                      ) == 1
                      or
                      (
                        bucket:flashback_bucket_nodes:max == 0
                        and max_over_time(bucket:flashback_bucket_nodes:max[2h]) == 0
                      )
                    )
                    {JOINED}
                """),
            ),
            Alert(
                "FlashbackBucketFewerNodes",
                severity="warning",
                wait="@fewer_nodes_for@",
                summary=f"Bucket {BUCKET_NAME} has lost {counted('node')}",
                description=(
                    f"The API lists {{{{ $value }}}} fewer nodes for bucket {_BUCKET} than at some"
                    " time today in the last six hours."
                ),
                # Each day has nodes of its own, so only those of one day are compared; see there.
                expr=promql(f"""
                    (
                      max_over_time({_NODES_NOW}[6h])
                      - {_NODES_NOW}
                      > 0 < {ONE_A_DAY}
                    )
                    {JOINED}
                """),
            ),
        ),
    ),
)
