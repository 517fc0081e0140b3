"""Alerts about nodes: one per node and account, whose value is the number of buckets affected.

None rests on the running day's uptime: it starts anew each midnight, and what it is a share of is
not documented.
"""

from __future__ import annotations

from monitoring.ruleset import (
    ACCOUNT_VALUES,
    BUCKET,
    JOINED,
    NODE,
    Alert,
    Group,
    counted,
    in_account,
    promql,
    some_buckets,
    values_of,
)

_NODE = "{{ $labels.host }} at {{ $labels.ip }}"

_BUCKET_NODE = f"max by ({BUCKET}, ip, host)"

_THIS = "ip=%+q,host=%+q"

_WHICH = ("$labels.ip", "$labels.host")

_DOWN = 'flashback_node_status{{{labels}status=~"@down_statuses@"}}'

_AFFECTED = f"{counted('bucket')} of account {{{{ $labels.account }}}}"


def _among_them(condition: str) -> str:
    """The sentence that names buckets; the condition has a `%+q` for IP and host each."""
    return f" Among them: {some_buckets(condition, *_WHICH)}."


def _figure(query: str, metric: str, shown: str) -> str:
    """One number of the node, over the buckets of the alert's account."""
    asked = query.format(in_account(f"{metric}{{{_THIS}}}"))
    arguments = " ".join((*_WHICH, *ACCOUNT_VALUES))
    return (
        f"{{{{ range printf `{asked}` {arguments} | query }}}}"
        f"{{{{ .Value | humanize{shown} }}}}{{{{ end }}}}"
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
            )
            + f" for {_AFFECTED}."
            + _among_them(f"max by ({BUCKET}) ({_DOWN.format(labels=f'{_THIS},')}) == 1")
        ),
        expr=promql(f"""
            count by ({NODE}) (
              (
                {_BUCKET_NODE} (
                  {_DOWN.format(labels="")}
                )
                == 1
              )
              {JOINED}
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
