"""Alerts about single buckets. They carry the bucket's id, account and team."""

from __future__ import annotations

from monitoring.recordings import LAST_KNOWN, LISTED_COUNT, NEW_DAY, NOT_LISTED, not_listed
from monitoring.ruleset import (
    ACCOUNT_NODE,
    ACCOUNT_VALUES,
    BUCKET,
    BUCKET_NAME,
    BUCKET_PAGE,
    SCOPE,
    SCOPE_VALUES,
    WITH_ACCOUNT,
    WITH_BUCKET_LABELS,
    Alert,
    Group,
    counted,
    promql,
    values_of,
)

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
                        f"flashback_bucket_failing{{{SCOPE},bucket_id=%+q}}",
                        SCOPE_VALUES,
                        "$labels.bucket_id",
                    )
                    + "."
                ),
                expr=promql(f"""
                    (max by ({BUCKET}) (flashback_bucket_up) == 0)
                    {WITH_BUCKET_LABELS}
                """),
            ),
            Alert(
                "FlashbackBucketWithoutOnlineNodes",
                severity="critical",
                wait="@bucket_offline_for@",
                summary=f"Bucket {BUCKET_NAME} has no online node",
                description=(
                    f"Bucket {_BUCKET} has no online node: all of its nodes are down, or the API"
                    " lists none."
                ),
                # Until 02:00 UTC an online node may be missing because the API has not listed it
                # for the new day yet.
                expr=promql(f"""
                    (
                      (
                        bucket:flashback_bucket_nodes:max == 0
                        or
                        (
                          bucket:flashback_bucket_nodes:max
                          and on ({BUCKET})
                          bucket_node:flashback_node_down:max
                        )
                      )
                      unless on ({BUCKET})
                      bucket:flashback_bucket_nodes:without_status > 0
                      unless on ({BUCKET})
                      bucket_node:flashback_node_down:max == 0
                      unless on ({BUCKET})
                      (
                        {LAST_KNOWN} == 0
                        unless
                        {NOT_LISTED}
                      )
                      unless on ({BUCKET})
                      (
                        (bucket:flashback_bucket_nodes:max == 0 and on () {NEW_DAY})
                        unless on ({BUCKET})
                        {LAST_KNOWN}
                        unless
                        max_over_time(bucket:flashback_bucket_nodes:max[30m] offset 2h) == 0
                      )
                    )
                    {WITH_BUCKET_LABELS}
                """),
            ),
            Alert(
                "FlashbackBucketFewerNodes",
                severity="warning",
                wait="@node_not_listed_for@",
                summary=f"Bucket {BUCKET_NAME} has lost {counted('node')}",
                description=(
                    f"The API no longer lists {counted('node')} for bucket {_BUCKET} that it still"
                    " lists for other buckets of the account: "
                    + values_of(
                        "host",
                        f"{not_listed(f'{SCOPE},bucket_id=%+q')} and on (ip, host)"
                        f" {LISTED_COUNT}{{{SCOPE},account=%+q}}",
                        SCOPE_VALUES,
                        "$labels.bucket_id",
                        *ACCOUNT_VALUES,
                    )
                    + "."
                ),
                expr=promql(f"""
                    count by ({BUCKET}) (
                      (
                        ({NOT_LISTED})
                        {WITH_ACCOUNT}
                      )
                      and on ({ACCOUNT_NODE})
                      {LISTED_COUNT}
                    )
                    {WITH_BUCKET_LABELS}
                """),
            ),
        ),
        BUCKET_PAGE,
    ),
)
