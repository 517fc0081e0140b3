"""Alerts about nodes: one per node and account, whose value is the number of buckets affected.

No alert that is on by default uses today's uptime: it restarts at midnight, and the API's
documentation does not say whether it is a share of the elapsed time or of the full day.
"""

from __future__ import annotations

from monitoring.recordings import LAST_KNOWN, LISTED_COUNT, NOT_LISTED, NOT_LISTED_SINCE, not_listed
from monitoring.ruleset import (
    ACCOUNT_NODE,
    ACCOUNT_VALUES,
    BUCKET,
    BUCKET_NODE,
    NODE,
    NODE_PAGE,
    WITH_BUCKET_LABELS,
    Alert,
    Group,
    Record,
    counted,
    in_account,
    optional,
    promql,
    some_buckets,
    values_of,
)

_NODE = "{{ $labels.host }} at {{ $labels.ip }}"

_BUCKET_NODE = f"max by ({BUCKET_NODE})"

_NODE_MATCHERS = "ip=%+[1]q,host=%+[2]q"
"""Label matchers of the alert's node, for printf with _NODE_ARGUMENTS."""

_NODE_ARGUMENTS = ("$labels.ip", "$labels.host")

_DOWN = 'flashback_node_status{{{labels}status=~"@down_statuses@"}}'

_AFFECTED_BUCKETS = f"{counted('bucket')} of account {{{{ $labels.account }}}}"


def _list_of_buckets(condition: str) -> str:
    """The sentence that names affected buckets. The condition contains _NODE_MATCHERS."""
    return f" Among them: {some_buckets(condition, *_NODE_ARGUMENTS)}."


def _value_template(query: str, metric: str, shown: str, before: str = "") -> str:
    """Template for one value of the node in the alert's account; empty if there is none."""
    asked = query.format(in_account(f"{metric}{{{_NODE_MATCHERS}}}"))
    arguments = " ".join((*_NODE_ARGUMENTS, *ACCOUNT_VALUES))
    return (
        f"{{{{ range printf `{asked}` {arguments} | query }}}}"
        f"{before}{{{{ .Value | humanize{shown} }}}}{{{{ end }}}}"
    )


STATUS = (
    Alert(
        "FlashbackNodeDown",
        severity="warning",
        wait="@node_down_for@",
        summary=f"Node {_NODE} is down",
        description=(
            f"Node {_NODE} is "
            + values_of(
                "status",
                f"({in_account(_DOWN.format(labels=f'{_NODE_MATCHERS},'))}) == 1",
                *_NODE_ARGUMENTS,
                *ACCOUNT_VALUES,
                otherwise="no longer listed, but was down when last listed,",
            )
            + f" for {_AFFECTED_BUCKETS}."
            + _list_of_buckets(
                f"max by ({BUCKET}) ({_DOWN.format(labels=f'{_NODE_MATCHERS},')}) == 1"
                f" or max by ({BUCKET}) ({LAST_KNOWN}{{{_NODE_MATCHERS}}}) == 1"
            )
        ),
        expr=promql(f"""
            count by ({NODE}) (
              (
                {_BUCKET_NODE} (
                  {_DOWN.format(labels="")}
                )
                == 1
                or
                {LAST_KNOWN} == 1
              )
              {WITH_BUCKET_LABELS}
            )
        """),
    ),
    Alert(
        "FlashbackNodeNotListed",
        severity="warning",
        wait="@node_not_listed_for@",
        summary=f"The API no longer lists node {_NODE}",
        description=(
            f"The API has not listed node {_NODE} for any bucket of account"
            " {{ $labels.account }}"
            + _value_template("min({})", NOT_LISTED_SINCE, "Timestamp", before=" since ")
            + f". Before that, it was listed for {counted('bucket')}."
            + _list_of_buckets(f"max by ({BUCKET}) ({not_listed(_NODE_MATCHERS)})")
        ),
        expr=promql(f"""
            count by ({NODE}) (
              ({NOT_LISTED})
              {WITH_BUCKET_LABELS}
            )
            unless on ({ACCOUNT_NODE})
            {LISTED_COUNT}
        """),
    ),
    Alert(
        "FlashbackNodeStatusUnknown",
        severity="warning",
        wait="@status_unknown_for@",
        summary=f"Node {_NODE} has an unknown status",
        description=(
            f"For {_AFFECTED_BUCKETS}, node {_NODE} has a status that is not in `known_statuses`."
            " Alerts cannot tell whether it is up."
            + _list_of_buckets(
                f"max by ({BUCKET}) (flashback_node_status{{{_NODE_MATCHERS},"
                'status="UNKNOWN"}) == 1'
            )
        ),
        expr=promql(f"""
            count by ({NODE}) (
              (
                {_BUCKET_NODE} (flashback_node_status{{status="UNKNOWN"}})
                == 1
              )
              {WITH_BUCKET_LABELS}
            )
        """),
    ),
)

REPORTED_VALUES = (
    Alert(
        "FlashbackNodeReportOld",
        severity="warning",
        wait="@node_report_old_for@",
        summary=f"The API's data about node {_NODE} is outdated",
        description=(
            f"For {_AFFECTED_BUCKETS}, the API's data about node {_NODE} is outdated."
            " The oldest data is "
            + _value_template(
                "time() - min({})", "flashback_node_last_updated_timestamp_seconds", "Duration"
            )
            + " old."
        ),
        expr=promql(f"""
            count by ({NODE}) (
              (
                time()
                - {_BUCKET_NODE} (
                  flashback_node_last_updated_timestamp_seconds
                )
                > @node_report_max_age_seconds@
              )
              {WITH_BUCKET_LABELS}
            )
        """),
    ),
    Alert(
        "FlashbackNodePreviousDayUnderTarget",
        severity="warning",
        wait="10m",
        summary=f"Node {_NODE} missed its uptime target on the previous day",
        description=(
            f"For {_AFFECTED_BUCKETS}, the uptime of node {_NODE} on the previous day is below the"
            " target. The lowest uptime is "
            + _value_template("min({})", "flashback_node_uptime_previous_day_ratio", "Percentage")
            + "."
        ),
        expr=promql(f"""
            count by ({NODE}) (
              (
                {_BUCKET_NODE} (
                  flashback_node_uptime_previous_day_ratio
                )
                < @slo_target@
              )
              {WITH_BUCKET_LABELS}
            )
        """),
        keep_firing_for="2h",  # outlasts the hour without data between two days
    ),
)


_RATE = "node:flashback_node_error_budget:burnrate"


def _burn_rate_alert(
    long: str, short: str, most: float, *, wait: str, keep: str, rest: str
) -> Alert:
    """An alert on a long window, which shows the impact, and a short one, which shows it continues.

    Burn rates and windows are those of the SRE workbook, chapter 5. FlashbackNodeDown reports long
    outages, so these alerts exclude them and are not more severe.
    """
    return Alert(
        f"FlashbackNodeErrorBudgetBurn{long}",
        severity="warning",
        wait=wait,
        summary=f"Node {_NODE} keeps going down",
        description=(
            f"Node {_NODE} of account {{{{ $labels.account }}}} goes down and comes back: over"
            f' {long} it used its error budget {{{{ $value | printf "%.1f" }}}} times as fast as'
            f" allowed. At this rate, a month's budget lasts {rest}."
        ),
        expr=promql(f"""
            (
              {_RATE}{long} > {most:g}
              and
              {_RATE}{short} > {most:g}
            )
            unless on ({NODE})
            max_over_time(
              ALERTS{{@exporter_job@,alertname="FlashbackNodeDown",alertstate="firing"}}[{long}]
            )
        """),
        keep_firing_for=keep,  # an intermittent failure may leave the short window for a while
    )


BURNING = (
    _burn_rate_alert("1h", "5m", 14.4, wait="2m", keep="30m", rest="two days or less"),
    _burn_rate_alert("6h", "30m", 6, wait="15m", keep="30m", rest="five days or less"),
    _burn_rate_alert("1d", "2h", 3, wait="1h", keep="2h", rest="ten days or less"),
    _burn_rate_alert("3d", "6h", 1, wait="3h", keep="6h", rest="less than a month"),
)

_LATENCY = "node:flashback_node_latency_last_seconds:avg"

OPTIONAL = (
    optional(
        "node_latency_ratio",
        NODE_PAGE,
        Record(
            _LATENCY,
            promql(f"""
                avg by ({NODE}) (
                  {_BUCKET_NODE} (flashback_node_latency_last_seconds)
                  {WITH_BUCKET_LABELS}
                )
            """),
        ),
        Alert(
            "FlashbackNodeLatencyHigh",
            severity="warning",
            wait="@node_latency_for@",
            summary=f"Node {_NODE} is slower than in the last week",
            description=(
                f"Over the last hour the latency of node {_NODE}, seen from account"
                ' {{ $labels.account }}, was {{ $value | printf "%.1f" }} times its mean of the'
                " last week."
            ),
            # Without data for half of the week there is no baseline.
            expr=promql(f"""
                (
                  avg_over_time({_LATENCY}[1h])
                  / avg_over_time({_LATENCY}[1w])
                  > @node_latency_ratio@
                )
                and
                count_over_time({_LATENCY}[1w:4h]) >= 21
            """),
        ),
        interval="4m",
    ),
    optional(
        "node_uptime_today_ratio",
        NODE_PAGE,
        Alert(
            "FlashbackNodeUptimeLow",
            severity="warning",
            wait="10m",
            summary=f"Today's uptime of node {_NODE} is low",
            description=(
                f"For {_AFFECTED_BUCKETS}, today's uptime of node {_NODE} is below the threshold."
                " The lowest uptime is "
                + _value_template("min({})", "flashback_node_uptime_ratio", "Percentage")
                + "."
            ),
            # In the first six hours a short outage is a large share of the day.
            expr=promql(f"""
                count by ({NODE}) (
                  (
                    {_BUCKET_NODE} (flashback_node_uptime_ratio)
                    < @node_uptime_today_ratio@
                  )
                  {WITH_BUCKET_LABELS}
                )
                unless on ()
                (vector(time() % 86400) < 21600)
            """),
        ),
    ),
)

GROUPS = (
    Group("flashback-alerts-of-nodes", STATUS, NODE_PAGE),
    Group("flashback-alerts-of-figures", (*REPORTED_VALUES, *BURNING), NODE_PAGE, interval="4m"),
)
