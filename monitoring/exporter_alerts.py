"""Alerts about the exporter's own processes: there, well configured, in time, complete."""

from __future__ import annotations

from monitoring.ruleset import (
    ACCOUNT,
    AGGREGATION,
    SCOPE,
    SCOPE_VALUES,
    Alert,
    Group,
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
                "There is no target of job {{ $labels.job }} at all: nothing is known of any"
                " bucket, and no other alert of the exporter can fire."
            ),
            expr=f"absent({UP})",
            keep_firing_for=None,  # it is about what is not there: nothing can interrupt it
        ),
        Alert(
            "FlashbackExporterDown",
            severity="critical",
            wait="@exporter_down_for@",
            summary="No target of job {{ $labels.job }} answers",
            description=(
                "Prometheus cannot scrape any target of job {{ $labels.job }}: nothing is known of"
                " any bucket that they poll."
            ),
            expr=f"max by ({AGGREGATION}) ({UP}) == 0",
        ),
        Alert(
            "FlashbackExporterReplicaDown",
            severity="warning",
            wait="@rollout_for@",
            summary="Some targets of job {{ $labels.job }} do not answer",
            description=(
                "Prometheus scrapes some targets of job {{ $labels.job }}, but these do not"
                " answer: " + values_of("instance", f"up{{{SCOPE}}} == 0", SCOPE_VALUES) + "."
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
            summary="The configuration of job {{ $labels.job }} cannot be used",
            description=(
                "A process of job {{ $labels.job }} tried to load its configuration and could not;"
                " it goes on with the one before. Its log and `flashback-exporter check` say why."
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
                " late: there are more buckets than the process or the API manages in the interval."
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
            summary="Shards of job {{ $labels.job }} are missing: {{ $value }}",
            description=(
                "Fewer shards of job {{ $labels.job }} are running than there should be: nobody"
                " polls the buckets of those that are missing ({{ $value }})."
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
            summary="The shards of job {{ $labels.job }} disagree on how many they are",
            description=(
                "Some shards of job {{ $labels.job }} were started as one of {{ $value }}, others"
                " as one of fewer: some buckets are polled twice, and others may not be at all."
            ),
            expr=promql(f"""
                max by ({AGGREGATION}) (flashback_exporter_shards)
                > min by ({AGGREGATION}) (flashback_exporter_shards)
            """),
        ),
    ),
)

DRIFT = Group(
    "flashback-api",
    (
        Alert(
            "FlashbackSchemaDrift",
            severity="info",
            wait="@drift_for@",
            summary="The API sends {{ $labels.field }} in a form that it does not document",
            description=(
                "For some time answers have kept differing from the API's documentation"
                " ({{ $labels.kind }}, field {{ $labels.field }}). Values that are of no use are"
                " left out, and a field under another name is not read."
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
            summary="The API keeps limiting account {{ $labels.account }}",
            description=(
                "The API has answered account {{ $labels.account }} with 429 again and again; each"
                " time all its buckets wait."
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

GROUPS = (PROCESSES, DRIFT)
