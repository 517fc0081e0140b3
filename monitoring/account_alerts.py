"""Alerts about accounts: what concerns all buckets of one, told once instead of once per bucket."""

from __future__ import annotations

from monitoring.ruleset import (
    ACCOUNT,
    ACCOUNT_PAGE,
    ACCOUNT_VALUES,
    BUCKET,
    INFO,
    WITH_ACCOUNT,
    Alert,
    Group,
    counted,
    in_account,
    optional,
    promql,
    some_buckets,
    values_of,
)

_FAILING = f"max by ({BUCKET}) (flashback_bucket_up) == 0"

_REFUSED = f'max by ({BUCKET}) (flashback_bucket_failing{{reason="unauthorized"}})'

_WITHOUT_STATUS = "bucket:flashback_bucket_nodes:without_status > 0"

_FOUND = "account:flashback_account_discovered_buckets:max"

_ENDS = "{{ if gt $value 0.0 }}ends in {{ $value | humanizeDuration }}{{ else }}has ended{{ end }}"

_FOUND_BEFORE = f"max_over_time({_FOUND}[6h])"

TOKENS = (
    Alert(
        "FlashbackAccountUnauthorized",
        severity="critical",
        wait="@account_failing_for@",
        keep_firing_for="@account_keep_firing_for@",
        summary="The API refuses the token of account {{ $labels.account }}",
        description=(
            "The API answers 401 to {{ $value | humanizePercentage }} of the buckets of account"
            " {{ $labels.account }}, or its login is refused. Among them: "
            + some_buckets(_REFUSED)
            + "."
        ),
        expr=promql(f"""
            count by ({ACCOUNT}) (
              (
                {_REFUSED}
                and on ({BUCKET})
                ({_FAILING})
              )
              {WITH_ACCOUNT}
            )
            / count by ({ACCOUNT}) ({INFO})
            >= @account_failing_ratio@
        """),
    ),
    Alert(
        "FlashbackTokenExpiring",
        severity="warning",
        wait="@token_expiring_for@",
        summary="The token of account {{ $labels.account }} is not renewed",
        description=(
            "The access token of account {{ $labels.account }} "
            + _ENDS
            + ". No login renews it, or the login fails. Without a new token all buckets of"
            " the account are refused."
        ),
        # An account that logs in by itself is spared as long as no renewal has failed.
        expr=promql(f"""
            (
              min by ({ACCOUNT}) (flashback_account_token_expiry_timestamp_seconds) - time()
              < @token_expiry_seconds@
            )
            unless on ({ACCOUNT}) (
              count by ({ACCOUNT}) (flashback_api_requests_total{{call="login"}})
              unless on ({ACCOUNT})
              sum by ({ACCOUNT}) (
                increase(flashback_api_request_failures_total{{call=~"login|refresh"}}[15m])
              ) > 0
            )
        """),
    ),
)

WHOLE = (
    Alert(
        "FlashbackAccountFailing",
        severity="critical",
        wait="@account_failing_for@",
        keep_firing_for="@account_keep_firing_for@",
        summary="Polls of account {{ $labels.account }} fail",
        description=(
            "Polls fail for {{ $value | humanizePercentage }} of the buckets of account"
            " {{ $labels.account }}. Reasons: "
            + values_of(
                "reason",
                in_account("flashback_bucket_failing"),
                *ACCOUNT_VALUES,
            )
            + ". Among them: "
            + some_buckets(_FAILING)
            + "."
        ),
        # One bucket alone is a bucket's alert; a refused token is the alert before this one.
        expr=promql(f"""
            (
              count by ({ACCOUNT}) (
                (
                  {_FAILING}
                  unless on ({BUCKET})
                  {_REFUSED}
                )
                {WITH_ACCOUNT}
              )
              > 1
            )
            / count by ({ACCOUNT}) ({INFO})
            >= @account_failing_ratio@
        """),
    ),
    Alert(
        "FlashbackNodeStatusMissing",
        severity="warning",
        wait="@status_unknown_for@",
        summary="The API gives nodes of account {{ $labels.account }} no status",
        description=(
            f"In {counted('bucket')} of account {{{{ $labels.account }}}} the API lists nodes"
            " without a status: no alert can say whether they are up. Among them: "
            + some_buckets(_WITHOUT_STATUS)
            + "."
        ),
        expr=promql(f"""
            count by ({ACCOUNT}) (
              (
                {_WITHOUT_STATUS}
              )
              {WITH_ACCOUNT}
            )
        """),
    ),
    Alert(
        "FlashbackDiscoveryFailing",
        severity="warning",
        wait="@discovery_failing_for@",
        summary="The buckets of account {{ $labels.account }} cannot be listed",
        description=(
            "Discovery fails in account {{ $labels.account }}: the buckets found before are polled"
            " on, new ones are not seen."
        ),
        expr=f"max by ({ACCOUNT}) (flashback_account_discovery_up) == 0",
    ),
    Alert(
        "FlashbackDiscoveredBucketsFell",
        severity="warning",
        wait="@discovered_buckets_for@",
        summary=f"Discovery finds {counted('bucket')} in account {{{{ $labels.account }}}}",
        description=(
            f"Discovery finds {counted('bucket')} in account {{{{ $labels.account }}}}, far fewer"
            " than in the last six hours. The others are not watched any more."
        ),
        # Two that become one are one bucket that was removed.
        expr=promql(f"""
            (
              {_FOUND}
              <= {_FOUND_BEFORE} *
              @discovered_buckets_ratio@
            )
            and {_FOUND_BEFORE} > 0
            and (
              {_FOUND} == 0
              or
              {_FOUND_BEFORE}
              - {_FOUND} > 1
            )
        """),
    ),
)

CONNECTION = (
    Alert(
        "FlashbackCertificateExpiring",
        severity="warning",
        wait="@certificate_expiring_for@",
        summary="The API's certificate, seen by account {{ $labels.account }}, is about to end",
        description=(
            "The certificate that the API shows to account {{ $labels.account }} "
            + _ENDS
            + ". Polls of the account then fail with `tls`, unless nobody needs that one."
        ),
        expr=promql(f"""
            min by ({ACCOUNT}) (
              min_over_time(flashback_account_certificate_expiry_timestamp_seconds[1h])
            )
            - time()
            < @certificate_expiry_seconds@
        """),
    ),
    Alert(
        "FlashbackClockSkew",
        severity="warning",
        wait="@clock_skew_for@",
        summary="The API's clock, seen by account {{ $labels.account }}, is not the exporter's",
        description=(
            "The API's clock is {{ $value | humanizeDuration }} away from the exporter's, by its"
            " answers to account {{ $labels.account }}. Near midnight the wrong day is asked for,"
            " and tokens are renewed too early or too late."
        ),
        expr=promql(f"""
            max by ({ACCOUNT}) (abs(flashback_account_clock_skew_seconds))
            > @clock_skew_seconds@
        """),
    ),
)

OPTIONAL = (
    optional(
        "slow_poll_seconds",
        ACCOUNT_PAGE,
        Alert(
            "FlashbackPollsSlow",
            severity="warning",
            wait="@slow_poll_for@",
            summary="Polls of account {{ $labels.account }} take long",
            description=(
                "One in ten buckets of account {{ $labels.account }} takes"
                " {{ $value | humanizeDuration }} or more to poll, retries included. An attempt"
                " that takes longer than `poll_timeout` fails."
            ),
            expr=promql(f"""
                quantile by ({ACCOUNT}) (0.9,
                  max by ({BUCKET}) (flashback_bucket_poll_duration_seconds)
                  {WITH_ACCOUNT}
                )
                > @slow_poll_seconds@
            """),
        ),
    ),
    optional(
        "lost_buckets",
        ACCOUNT_PAGE,
        Alert(
            "FlashbackDiscoveredBucketsLost",
            severity="warning",
            wait="@discovered_buckets_for@",
            summary=f"Discovery has lost {counted('bucket')} of account {{{{ $labels.account }}}}",
            description=(
                f"Discovery finds {counted('bucket')} fewer in account {{{{ $labels.account }}}}"
                " than at some time in the last six hours. What is missing is not watched any more,"
                " and is not mentioned again once the six hours are over."
            ),
            expr=promql(f"""
                {_FOUND_BEFORE} - {_FOUND}
                >= @lost_buckets@
            """),
        ),
    ),
    optional(
        "token_file_expiry_seconds",
        ACCOUNT_PAGE,
        Alert(
            "FlashbackTokenFileOld",
            severity="warning",
            wait="@token_expiring_for@",
            summary="Nobody has renewed the token of account {{ $labels.account }}",
            description=(
                "The access token that account {{ $labels.account }} was given "
                + _ENDS
                + ": whoever writes its file is late."
            ),
            # An account that logs in renews its token itself.
            expr=promql(f"""
                (
                  min by ({ACCOUNT}) (flashback_account_token_expiry_timestamp_seconds) - time()
                  < @token_file_expiry_seconds@
                )
                unless on ({ACCOUNT})
                count by ({ACCOUNT}) (flashback_api_requests_total{{call="login"}})
            """),
        ),
    ),
)

GROUPS = (Group("flashback-accounts", (*TOKENS, *WHOLE, *CONNECTION), ACCOUNT_PAGE),)
