"""Alerts about nodes: one per node and account, whose value is the number of buckets affected.

None rests on the running day's uptime: it starts anew each midnight, and what it is a share of is
not documented.
"""

from __future__ import annotations

from monitoring.recordings import LAST_KNOWN, NOT_LISTED, NOT_LISTED_SINCE
from monitoring.ruleset import (
    ACCOUNT_NODE,
    ACCOUNT_VALUES,
    BUCKET,
    BUCKET_NODE,
    JOINED,
    NODE,
    WITH_ACCOUNT,
    Alert,
    Group,
    counted,
    in_account,
    promql,
    some_buckets,
    values_of,
)

_NODE = "{{ $labels.host }} at {{ $labels.ip }}"

_BUCKET_NODE = f"max by ({BUCKET_NODE})"

_THIS = "ip=%+[1]q,host=%+[2]q"
"""Matchers of the alert's node, which _WHICH names as the first arguments."""

_WHICH = ("$labels.ip", "$labels.host")

_DOWN = 'flashback_node_status{{{labels}status=~"@down_statuses@"}}'

_AFFECTED = f"{counted('bucket')} of account {{{{ $labels.account }}}}"


def _among_them(condition: str) -> str:
    """The sentence that names buckets; the condition says _THIS wherever it means the node."""
    return f" Among them: {some_buckets(condition, *_WHICH)}."


def _figure(query: str, metric: str, shown: str, before: str = "") -> str:
    """One number of the node, over the buckets of the alert's account, if any is known."""
    asked = query.format(in_account(f"{metric}{{{_THIS}}}"))
    arguments = " ".join((*_WHICH, *ACCOUNT_VALUES))
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
                f"count by (status) (({in_account(_DOWN.format(labels=f'{_THIS},'))}) == 1)",
                *_WHICH,
                *ACCOUNT_VALUES,
                otherwise="not listed any more, and was down before,",
            )
            + f" for {_AFFECTED}."
            + _among_them(
                f"max by ({BUCKET}) ({_DOWN.format(labels=f'{_THIS},')}) == 1"
                f" or max by ({BUCKET}) ({LAST_KNOWN}{{{_THIS}}}) == 1"
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
              {JOINED}
            )
        """),
    ),
    Alert(
        "FlashbackNodeNotListed",
        severity="warning",
        wait="@node_not_listed_for@",
        summary=f"Node {_NODE} is not listed any more",
        description=(
            "The API lists node "
            f"{_NODE} for no bucket of account {{{{ $labels.account }}}} any more, "
            + _figure("min({})", NOT_LISTED_SINCE, "Timestamp", before="since ")
            + f". Until then it was in {counted('bucket')}."
            + _among_them(f"max by ({BUCKET}) ({NOT_LISTED_SINCE}{{{_THIS}}})")
        ),
        expr=promql(f"""
            count by ({NODE}) (
              ({NOT_LISTED})
              {JOINED}
            )
            unless on ({ACCOUNT_NODE})
            count by ({ACCOUNT_NODE}) (
              bucket_node:flashback_node_down:max
              {WITH_ACCOUNT}
            )
        """),
    ),
    Alert(
        "FlashbackNodeStatusUnknown",
        severity="warning",
        wait="@status_unknown_for@",
        summary=f"Node {_NODE} has a status that nobody knows",
        description=(
            f"For {_AFFECTED} node {_NODE} has a"
            " status outside of `known_statuses`, so that nobody can say whether it is up."
            + _among_them(
                f'max by ({BUCKET}) (flashback_node_status{{{_THIS},status="UNKNOWN"}}) == 1'
            )
        ),
        expr=promql(f"""
            count by ({NODE}) (
              (
                {_BUCKET_NODE} (flashback_node_status{{status="UNKNOWN"}})
                == 1
              )
              {JOINED}
            )
        """),
    ),
)

FIGURES = (
    Alert(
        "FlashbackNodeReportOld",
        severity="warning",
        wait="@node_report_old_for@",
        summary=f"The API has old figures for node {_NODE}",
        description=(
            f"For {_AFFECTED} the API has not"
            f" updated the figures of node {_NODE} for too long. The oldest are "
            + _figure(
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
              {JOINED}
            )
        """),
    ),
    Alert(
        "FlashbackNodeClosedDayUnderTarget",
        severity="warning",
        wait="10m",
        summary=f"Node {_NODE} missed its target on the day before",
        description=(
            f"Node {_NODE} was up for too little of the day before, seen from {_AFFECTED}."
            " At worst it was up for "
            + _figure("min({})", "flashback_node_uptime_previous_day_ratio", "Percentage")
            + " of it."
        ),
        expr=promql(f"""
            count by ({NODE}) (
              (
                {_BUCKET_NODE} (
                  flashback_node_uptime_previous_day_ratio
                )
                < @slo_target@
              )
              {JOINED}
            )
        """),
        keep_firing_for="2h",  # between two days' figures there is up to an hour without any
    ),
)


_RATE = "node:flashback_node_error_budget:burnrate"


def _burning(
    name: str, severity: str, wait: str, rest: str, *pairs: tuple[str, str, float]
) -> Alert:
    """An alert on any of some pairs of windows: the long one says enough, the short one still."""
    either = [
        f"{_RATE}{long} > {most:g}\nand {_RATE}{short} > {most:g}" for long, short, most in pairs
    ]
    return Alert(
        name,
        severity=severity,
        wait=wait,
        summary=f"Node {_NODE} uses up its error budget",
        description=(
            f"Node {_NODE} of account {{{{ $labels.account }}}} uses up its error budget"
            " {{ $value | humanize }} times as fast as it may: going on like this, a month's budget"
            f" is gone in {rest}."
        ),
        expr="\nor\n".join(either),
    )


BURNING = (
    _burning(
        "FlashbackNodeErrorBudgetBurnFast",
        "critical",
        "2m",
        "five days or less",
        ("1h", "5m", 14.4),
        ("6h", "30m", 6),
    ),
    _burning(
        "FlashbackNodeErrorBudgetBurnSlow",
        "warning",
        "15m",
        "a month or less",
        ("1d", "2h", 3),
        ("3d", "6h", 1),
    ),
)

GROUPS = (Group("flashback-alerts-of-nodes", (*STATUS, *FIGURES, *BURNING)),)
