"""Alerts about accounts: one alert for an account instead of one for each of its buckets."""

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

_EXPIRES = (
    "{{ if gt $value 0.0 }}expires in {{ $value | humanizeDuration }}{{ else }}has expired{{ end }}"
)

_FOUND_BEFORE = f"max_over_time({_FOUND}[6h])"

TOKENS = (
    Alert(
        "FlashbackAccountUnauthorized",
        severity="critical",
        wait="@account_failing_for@",
        keep_firing_for="@account_keep_firing_for@",
        summary="The exporter has no valid token for account {{ $labels.account }}",
        description=(
            "The exporter has no valid token for account {{ $labels.account }}. Polls of"
            " {{ $value | humanizePercentage }} of its buckets fail. Among them: "
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
        summary="The token of account {{ $labels.account }} has not been renewed",
        description=(
            "The access token of account {{ $labels.account }} "
            + _EXPIRES
            + ". The exporter does not log in to this account, or its login fails. Without a new"
            " token the API rejects all polls of the account."
        ),
        # Accounts that log in are excluded as long as no renewal has failed.
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
            + ". Some buckets: "
            + some_buckets(_FAILING)
            + "."
        ),
        # Other alerts cover a single bucket and a rejected token.
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
        summary="The API reports no status for nodes of account {{ $labels.account }}",
        description=(
            f"In {counted('bucket')} of account {{{{ $labels.account }}}} the API lists nodes"
            " without a status, so alerts cannot tell if they are up. Some buckets: "
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
        summary="Discovery fails in account {{ $labels.account }}",
        description=(
            "The exporter cannot list the buckets of account {{ $labels.account }}. It keeps"
            " polling the buckets that it knows, but does not see new ones."
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
            " than in the last six hours. The exporter no longer polls the others."
        ),
        # A drop from two to one is a single removed bucket.
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
        summary="The API's certificate, seen by account {{ $labels.account }}, expires soon",
        description=(
            "A certificate that the API presents to account {{ $labels.account }} "
            + _EXPIRES
            + ". After that, new connections fail with reason `tls`, unless the chain is valid"
            " without this certificate."
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
        summary="The API's clock differs from the exporter's (account {{ $labels.account }})",
        description=(
            "According to responses to account {{ $labels.account }}, the API's clock differs from"
            " the exporter's by {{ $value | humanizeDuration }}. Near midnight UTC the exporter"
            " may request the wrong day, and it may renew tokens too early or too late."
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
            summary="Polls of account {{ $labels.account }} are slow",
            description=(
                "The slowest 10 % of the buckets of account {{ $labels.account }} take"
                " {{ $value | humanizeDuration }} or more to poll, including retries. An attempt"
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
                f"Discovery has lost {counted('bucket')} of account {{{{ $labels.account }}}}"
                " within six hours. The exporter no longer polls the missing buckets. The alert"
                " resolves after six hours, even if they are still missing."
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
            summary="The token file of account {{ $labels.account }} has not been renewed",
            description=(
                "The access token of account {{ $labels.account }} "
                + _EXPIRES
                + ". The program that writes the token file has not renewed it."
            ),
            # The exporter renews the tokens of accounts that log in.
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
