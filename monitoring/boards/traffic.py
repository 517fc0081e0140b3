"""Requests to the API and their results: a section of the exporter's dashboard."""

from __future__ import annotations

from monitoring.boards import colours, panels
from monitoring.boards.layout import Section, line
from monitoring.boards.panels import Query, Text, Values

_RATE = Values("reqps", low=0)
_CALL = "{{account}} {{call}}"


def section(who: str) -> Section:
    """The section for the exporters that these matchers select."""
    chosen = f'{who}, account=~"$account"'
    seconds = "flashback_api_request_duration_seconds_bucket"
    return Section(
        "The API",
        (
            line(
                8,
                panels.lines(
                    Text("Responses by code", "HTTP responses per second."),
                    _RATE,
                    Query(
                        f"{_rate(chosen, 'flashback_api_requests_total', 'code')} > 0", "{{code}}"
                    ),
                    stacked=True,
                ),
                panels.lines(
                    Text(
                        "Failures by reason",
                        "Attempts per second without a usable response, including retried ones.",
                    ),
                    _RATE,
                    Query(
                        f"{_rate(chosen, 'flashback_api_request_failures_total', 'reason')} > 0",
                        "{{reason}}",
                    ),
                    stacked=True,
                    named=colours.REASONS,
                ),
                panels.lines(
                    Text(
                        "Responses by call",
                        "HTTP responses per second by call: stats, list, login, refresh.",
                    ),
                    _RATE,
                    Query(_rate(chosen, "flashback_api_requests_total", "account, call"), _CALL),
                ),
            ),
            line(
                8,
                panels.lines(
                    Text("Retries", "Retries per second by call."),
                    _RATE,
                    Query(_rate(chosen, "flashback_api_retries_total", "account, call"), _CALL),
                ),
                panels.lines(
                    Text("Durations by call", "Duration of requests, with or without a response."),
                    Values("s", low=0),
                    *[
                        Query(
                            f"histogram_quantile({share}, {_rate(chosen, seconds, 'call, le')})",
                            f"{{{{call}}}}, {name}",
                        )
                        for share, name in ((0.5, "median"), (0.99, "p99"))
                    ],
                ),
                panels.distribution(
                    Text("Durations", "Distribution of request durations."),
                    Values("s"),
                    Query(
                        f"sum by (le) (increase({seconds}{{{chosen}}}[$__rate_interval]))", "{{le}}"
                    ),
                ),
            ),
            line(
                7,
                panels.lines(
                    Text(
                        "Schema drift",
                        "Differences between responses and the API's documentation per second. "
                        "Invalid values are left out.",
                        alert="FlashbackSchemaDrift",
                    ),
                    Values("cps", low=0),
                    Query(
                        "sum by (kind, field) (rate(flashback_api_schema_drift_total"
                        f"{{{who}}}[$__rate_interval])) > 0",
                        "{{kind}} {{field}}",
                    ),
                    stacked=True,
                ),
            ),
        ),
    )


def _rate(chosen: str, metric: str, labels: str) -> str:
    return f"sum by ({labels}) (rate({metric}{{{chosen}}}[$__rate_interval]))"
