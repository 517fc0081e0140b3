"""Alerts about the exporter's processes, and about rate limits and schema drift of the API."""

from __future__ import annotations

from monitoring.ruleset import (
    ACCOUNT,
    AGGREGATION,
    SCOPE,
    SCOPE_VALUES,
    Alert,
    Group,
    counted,
    promql,
    values_of,
)

UP = "up{@exporter_job@}"

PROCESSES = Group(
    "flashback-exporter",
    (
        Alert(
            "FlashbackExporterAbsent",
            severity="critical",
            wait="@exporter_down_for@",
            summary="Prometheus has no target of job {{ $labels.job }}",
            description=(
                "Prometheus has no target of job {{ $labels.job }}. None of its buckets is"
                " monitored, and no other alert of the exporter can fire."
            ),
            expr=f"absent({UP})",
            keep_firing_for=None,  # a restart of the exporter cannot interrupt it
        ),
        Alert(
            "FlashbackExporterDown",
            severity="critical",
            wait="@exporter_down_for@",
            summary="All targets of job {{ $labels.job }} are down",
            description=(
                "Prometheus cannot scrape any target of job {{ $labels.job }}. None of its buckets"
                " is monitored."
            ),
            expr=f"max by ({AGGREGATION}) ({UP}) == 0",
        ),
        Alert(
            "FlashbackExporterReplicaDown",
            severity="warning",
            wait="@rollout_for@",
            summary="Some targets of job {{ $labels.job }} are down",
            description=(
                "Prometheus can scrape some targets of job {{ $labels.job }}, but not these: "
                + values_of("instance", f"up{{{SCOPE}}} == 0", SCOPE_VALUES)
                + "."
            ),
            expr=promql(f"""
                count by ({AGGREGATION}) ({UP} == 0)
                and on ({AGGREGATION})
                max by ({AGGREGATION}) ({UP}) == 1
            """),
        ),
        Alert(
            "FlashbackConfigReloadFailed",
            severity="warning",
            wait="@config_reload_failed_for@",
            summary="Job {{ $labels.job }} failed to load its configuration",
            description=(
                "A process of job {{ $labels.job }} failed to load its configuration and still uses"
                " the previous one. Its log and `flashback-exporter check` show the reason."
            ),
            expr=(
                f"min by ({AGGREGATION}) (flashback_exporter_config_last_reload_successful) == 0"
            ),
        ),
        Alert(
            "FlashbackPollLag",
            severity="warning",
            wait="@poll_lag_for@",
            summary="Polls of job {{ $labels.job }} are {{ $value | humanizeDuration }} late",
            description=(
                "The most overdue poll of job {{ $labels.job }} is {{ $value | humanizeDuration }}"
                " late. The process or the API is too slow to poll all buckets within the interval."
            ),
            expr=promql(f"""
                max by ({AGGREGATION}) (flashback_exporter_poll_lag_seconds)
                > @poll_lag_seconds@
            """),
        ),
        Alert(
            "FlashbackShardMissing",
            severity="critical",
            wait="@rollout_for@",
            summary=f"Job {{{{ $labels.job }}}} is missing {counted('shard')}",
            description=(
                f"Job {{{{ $labels.job }}}} is missing {counted('shard')}. The buckets of missing"
                " shards are not polled."
            ),
            expr=promql(f"""
                max by ({AGGREGATION}) (flashback_exporter_shards)
                - count by ({AGGREGATION}) (
                  count by ({AGGREGATION}, shard_ordinal) (flashback_exporter_shard_ordinal)
                )
                > 0
            """),
        ),
        Alert(
            "FlashbackShardsDisagree",
            severity="warning",
            wait="@rollout_for@",
            summary="The shards of job {{ $labels.job }} have different shard counts",
            description=(
                "Some shards of job {{ $labels.job }} run with a shard count of {{ $value }},"
                " others with a lower one. Some buckets are polled twice, others may not"
                " be polled."
            ),
            expr=promql(f"""
                max by ({AGGREGATION}) (flashback_exporter_shards)
                > min by ({AGGREGATION}) (flashback_exporter_shards)
            """),
        ),
    ),
)

API = Group(
    "flashback-api",
    (
        Alert(
            "FlashbackSchemaDrift",
            severity="info",
            wait="@drift_for@",
            summary="Field {{ $labels.field }} of the API does not match the API's documentation",
            description=(
                "API responses still differ from the API's documentation ({{ $labels.kind }}, field"
                " {{ $labels.field }}). The exporter omits invalid values and does not read renamed"
                " fields."
            ),
            expr=promql(f"""
                sum by ({AGGREGATION}, kind, field) (
                  increase(flashback_api_schema_drift_total{{
                    kind=~"wrong_type|out_of_range|unknown_status|unknown_field|missing_field"
                  }}[30m])
                )
                > 0
            """),
        ),
        Alert(
            "FlashbackAccountRateLimited",
            severity="warning",
            wait="@rate_limited_for@",
            summary="The API rate-limits account {{ $labels.account }}",
            description=(
                "The API keeps responding to account {{ $labels.account }} with status 429. After"
                " each one, polls of all buckets of the account pause."
            ),
            expr=promql(f"""
                sum by ({ACCOUNT}) (
                  increase(flashback_api_request_failures_total{{reason="rate_limited"}}[10m])
                )
                > 0
            """),
        ),
    ),
)

GROUPS = (PROCESSES, API)
