"""The exporter's own health: polling, the API, accounts, shards, the process."""

from __future__ import annotations

from monitoring.boards import colours, panels, process, traffic, variables
from monitoring.boards.layout import Board, Defaults, Section, line
from monitoring.boards.panels import Query, Text, Values
from monitoring.boards.queries import JOB

_WHO = f'{JOB}, instance=~"$instance"'
_API = f'{_WHO}, account=~"$account"'
_COUNT = Values("short", low=0, decimals=0)
_INSTANCE = "{{instance}}"


def _own(metric: str, reduced: str = "max by (instance)") -> str:
    return f"{reduced} ({metric}{{{_WHO}}})"


def _account(metric: str, reduced: str = "max by (account)") -> str:
    return f"{reduced} ({metric}{{{_API}}})"


def _now() -> Section:
    return Section(
        "Now",
        (
            line(
                4,
                panels.number(
                    Text(
                        "Exporters",
                        "Exporters that responded to the latest scrape.",
                        alert="FlashbackExporterDown",
                    ),
                    Values("short", colours.ZERO_IS_BAD, decimals=0),
                    Query(f"count({_own('flashback_exporter_build_info')})"),
                ),
                panels.number(
                    Text(
                        "Buckets polled",
                        "Sum over the exporters. Replicas poll the same buckets, shards "
                        "different ones.",
                    ),
                    Values("short", decimals=0),
                    Query(f"sum({_own('flashback_exporter_buckets')})"),
                ),
                panels.number(
                    Text(
                        "Poll lag",
                        "Delay of the most overdue poll. If it exceeds the poll interval, the "
                        "exporter is too slow for its buckets: see docs/scaling.md.",
                        alert="FlashbackPollLag",
                    ),
                    Values("s", colours.LAG),
                    Query(f"max({_own('flashback_exporter_poll_lag_seconds')})"),
                ),
                panels.number(
                    Text(
                        "Configuration",
                        "Whether the last load of the configuration succeeded in every exporter.",
                        alert="FlashbackConfigReloadFailed",
                    ),
                    Values("short", colours.ZERO_IS_BAD, colours.SUCCESS),
                    Query(f"min({_own('flashback_exporter_config_last_reload_successful')})"),
                ),
                panels.number(
                    Text(
                        "Paused accounts",
                        "Accounts that are paused after a 429.",
                        alert="FlashbackAccountRateLimited",
                    ),
                    Values("short", colours.ZERO_IS_GOOD, decimals=0),
                    Query(
                        "count("
                        + _account("flashback_account_paused_until_timestamp_seconds")
                        + f") or 0 * count({_own('flashback_exporter_build_info')})"
                    ),
                ),
                panels.number(
                    Text(
                        "Next token expiry",
                        "Time until a token expires. Accounts that log in renew it much earlier;"
                        " other tokens must be renewed by you.",
                        alert="FlashbackTokenExpiring",
                    ),
                    Values("s", colours.LIFETIME),
                    Query(
                        "min("
                        + _account("flashback_account_token_expiry_timestamp_seconds", "min")
                        + ") - time()"
                    ),
                ),
            ),
        ),
    )


def _polling() -> Section:
    buckets = _own("flashback_bucket_poll_duration_seconds", "max by (bucket_id)")
    failing = _own("flashback_bucket_failing", "max by (bucket_id, reason)")
    return Section(
        "Polling",
        (
            line(
                8,
                panels.lines(
                    Text(
                        "Poll lag by exporter",
                        "Delay of the most overdue poll of each exporter.",
                        alert="FlashbackPollLag",
                    ),
                    Values("s", colours.LAG, low=0),
                    Query(_own("flashback_exporter_poll_lag_seconds"), _INSTANCE),
                ),
                panels.lines(
                    Text(
                        "Poll duration",
                        "Latest poll of each bucket, including retries.",
                    ),
                    Values("s", low=0),
                    Query(f"quantile(0.5, {buckets})", "median"),
                    Query(f"quantile(0.99, {buckets})", "p99"),
                    Query(f"max({buckets})", "slowest"),
                ),
                panels.lines(
                    Text(
                        "Failing buckets by reason",
                        "By the reason of the latest failure. docs/metrics.md explains each.",
                        alert="FlashbackAccountFailing",
                    ),
                    _COUNT,
                    Query(f"count by (reason) ({failing})", "{{reason}}"),
                    stacked=True,
                    named=colours.REASONS,
                ),
            ),
        ),
    )


def _accounts() -> Section:
    expiry = "flashback_account_token_expiry_timestamp_seconds"
    certificate = "flashback_account_certificate_expiry_timestamp_seconds"
    paused = "flashback_account_paused_until_timestamp_seconds"
    listed = "flashback_account_discovery_last_success_timestamp_seconds"
    return Section(
        "Accounts",
        (
            line(
                8,
                panels.lines(
                    Text(
                        "Token lifetime",
                        "Time until each account's token expires, if the token says so. A "
                        "sawtooth means that it is renewed; a line down to 0 means that it is "
                        "not.",
                        alert="FlashbackTokenExpiring",
                    ),
                    Values("s", colours.LIFETIME),
                    Query(
                        f"{_account(expiry, 'min by (account, instance)')} - time()",
                        "{{account}} {{instance}}",
                    ),
                ),
                panels.lines(
                    Text(
                        "Pauses",
                        "Remaining pause of each account after a 429. No line means no pause.",
                        alert="FlashbackAccountRateLimited",
                    ),
                    Values("s", low=0),
                    Query(
                        f"{_account(paused, 'max by (account, instance)')} - time()",
                        "{{account}} {{instance}}",
                    ),
                ),
            ),
            line(
                8,
                panels.lines(
                    Text(
                        "Certificate lifetime",
                        "Time until the first certificate of the API's chain expires.",
                        alert="FlashbackCertificateExpiring",
                    ),
                    Values("s", colours.CERTIFICATE),
                    Query(f"{_account(certificate, 'min by (account)')} - time()", "{{account}}"),
                ),
                panels.lines(
                    Text(
                        "Clock skew",
                        "How far the API's clock is ahead of the exporter's.",
                        alert="FlashbackClockSkew",
                    ),
                    Values("s"),
                    Query(
                        _account(
                            "flashback_account_clock_skew_seconds", "max by (account, instance)"
                        ),
                        "{{account}} {{instance}}",
                    ),
                ),
            ),
            line(
                7,
                panels.states(
                    Text(
                        "Discovery",
                        "Whether the last discovery of each account succeeded.",
                        alert="FlashbackDiscoveryFailing",
                    ),
                    Values("short", colours.ZERO_IS_BAD, colours.SUCCESS),
                    Query(_account("flashback_account_discovery_up"), "{{account}}"),
                ),
                panels.lines(
                    Text(
                        "Discovered buckets",
                        "Buckets that discovery found for each account, after the filters.",
                        alert="FlashbackDiscoveredBucketsFell",
                    ),
                    _COUNT,
                    Query(_account("flashback_account_discovered_buckets"), "{{account}}"),
                ),
                panels.lines(
                    Text(
                        "Last successful discovery",
                        ("Time since the last successful discovery of each account."),
                    ),
                    Values("s", low=0),
                    Query(f"time() - {_account(listed)}", "{{account}}"),
                ),
            ),
        ),
    )


def board(_: Defaults) -> Board:
    """The dashboard of the exporter."""
    return Board(
        name="exporter",
        title="Flashback / Exporter",
        description="The exporter's health: polling, the API, accounts, shards, the process.",
        variables=(
            variables.datasource(),
            *variables.where(),
            variables.instance(),
            variables.api_account(),
        ),
        sections=(_now(), _polling(), traffic.section(_WHO), _accounts(), *process.sections(_WHO)),
        since="now-6h",
    )
