"""What a rule is, and how the sources write one down.

Sources write settings as `@name@`; numbers and durations so at the end of a line. What the rules
are is told in `recordings` and the `*_alerts`; how they become files in `rendering`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent

AGGREGATION = "@aggregation_labels@"
BUCKET = f"{AGGREGATION}, bucket_id"
"""What makes a bucket one."""
NODE = f"{AGGREGATION}, @node_labels@"
"""What makes a node one, over all buckets of an account."""
BUCKET_NODE = f"{BUCKET}, ip, host"
ACCOUNT = f"{AGGREGATION}, account"
ACCOUNT_NODE = f"{AGGREGATION}, ip, host, account"
"""A node of an account, whatever node_labels says; in an order in which that text is not found."""

INFO = "bucket:flashback_bucket_info:max"
"""Names and labels of each bucket, exactly once per bucket: joins cannot break."""

SCOPE = "@aggregation_matchers@"
"""Matchers of the alert's own scrape labels, for queries in annotations: another release's data, of
staging in the same Prometheus for one, is none of its business. Each takes one of SCOPE_VALUES."""
SCOPE_VALUES = "@aggregation_values@"

OF_ACCOUNT = f"{INFO}{{{SCOPE},account=%+q}}"
"""The buckets of the alert's account; takes ACCOUNT_VALUES."""
ACCOUNT_VALUES = (SCOPE_VALUES, "$labels.account")

BUCKET_NAME = (
    f"{{{{ with printf `{INFO}{{{SCOPE},bucket_id=%+q}}` {SCOPE_VALUES} $labels.bucket_id"
    ' | query }}{{ . | first | label "name" }}{{ else }}{{ $labels.bucket_id }}{{ end }}'
)
"""The name, in a text, of the bucket that an alert is about. It is no label: a bucket that gets
another name would end its alert and begin a new one."""

JOINED = f"* on ({BUCKET}) group_left (@bucket_labels@) {INFO}"
"""Gives what is known per bucket the labels of the bucket; the value stays."""

WITH_ACCOUNT = f"* on ({BUCKET}) group_left (account) {INFO}"
"""Gives what is known per bucket its account."""


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule."""

    name: str  # level:metric:operations
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule. Its texts are Prometheus's templates."""

    name: str
    severity: str
    wait: str  # its `for`
    summary: str
    description: str
    expr: str
    keep_firing_for: str | None = "@keep_firing_for@"


def _page(board: str, variable: str = "") -> str:
    chosen = f"var-{variable}={{{{ $labels.{_LABELS[variable]} | urlquery }}}}&" if variable else ""
    return f"{board}?{chosen}@aggregation_variables@"


_LABELS = {"host": "host", "bucket": "bucket_id", "account": "account"}

EXPORTER_PAGE = _page("flashback-exporter")
ACCOUNT_PAGE = _page("flashback-overview", "account")
BUCKET_PAGE = _page("flashback-bucket", "bucket")
NODE_PAGE = _page("flashback-node", "host")
"""Where on the dashboards an alert's trouble is seen."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other."""

    name: str
    rules: tuple[Record | Alert, ...]
    page: str = EXPORTER_PAGE  # of its alerts
    interval: str | None = None  # Prometheus's own where it is None
    needs: str | None = None  # a setting without which it is left out


def optional(setting: str, page: str, *rules: Record | Alert, interval: str | None = None) -> Group:
    """A group that is there once a setting is set; the Helm chart goes by its name."""
    return Group(f"flashback-{setting.replace('_', '-')}", rules, page, interval, setting)


@dataclass(frozen=True, slots=True)
class File:
    """A file of rules."""

    name: str
    title: str
    groups: tuple[Group, ...]


_JOIN = r"\* on \(.+?\) group_left \(.*?\)"


def promql(text: str) -> str:
    """An expression, as it is indented in its source; what is joined gets a line of its own."""
    return re.sub(
        rf"^( *)({_JOIN}) (?={INFO})", r"\1\2\n\1  ", dedent(text).strip(), flags=re.MULTILINE
    )


def counted(noun: str) -> str:
    """A text that tells the alert's value as a number of things."""
    return f"{{{{ $value }}}} {noun}{{{{ if ne $value 1.0 }}}}s{{{{ end }}}}"


def some_buckets(condition: str, *arguments: str) -> str:
    """A text that names up to five buckets of which a condition holds, each name and team once.

    The condition has one series per bucket and a `%+q` for each argument; the buckets are those of
    the alert's account.
    """
    joined = f"({condition}) * on ({BUCKET}) group_left (name, @bucket_labels@) {OF_ACCOUNT}"
    once = f"max by (name, @bucket_labels@) ({joined})"
    team = "{{ with .Labels.team }} ({{ . }}){{ end }}"
    asked = (*arguments, *ACCOUNT_VALUES)
    return _listed(f"topk(5, {once})", asked, "name", "{{ .Labels.name }}" + team)


def in_account(series: str) -> str:
    """What is known per bucket, of the buckets of the alert's account alone; see OF_ACCOUNT."""
    return f"{series} * on ({BUCKET}) group_left () {OF_ACCOUNT}"


def values_of(label: str, query: str, *arguments: str, otherwise: str = "") -> str:
    """A text that names each value which a label has in the result of a query, if there is any.

    Arguments stand behind `%+q`: a plain `%q` leaves U+FFFD as it is, which PromQL does not read.
    """
    once = f"count by ({label}) ({query})"
    return _listed(once, arguments, label, f"{{{{ .Labels.{label} }}}}", otherwise)


def _listed(
    query: str, arguments: tuple[str, ...], label: str, each: str, otherwise: str = ""
) -> str:
    asked = f'printf `{query}` {" ".join(arguments)} | query | sortByLabel "{label}"'
    comma = "{{ if $i }}, {{ end }}"
    rest = f"{{{{ else }}}}{otherwise}" if otherwise else ""
    return f"{{{{ range $i, $found := {asked} }}}}{comma}{each}{rest}{{{{ end }}}}"
