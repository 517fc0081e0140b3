"""The classes of rules, and helpers to write expressions and annotations.

Settings are written as `@name@`; a number or duration must end its line. The rules themselves are
in `recordings` and the `*_alerts`; `rendering` writes the files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent

AGGREGATION = "@aggregation_labels@"
BUCKET = f"{AGGREGATION}, bucket_id"
"""The labels that identify a bucket."""
NODE = f"{AGGREGATION}, @node_labels@"
"""The labels that identify a node across the buckets of an account."""
BUCKET_NODE = f"{BUCKET}, ip, host"
ACCOUNT = f"{AGGREGATION}, account"
ACCOUNT_NODE = f"{AGGREGATION}, ip, host, account"
"""A node of an account. Not in the order of node_labels, so the chart does not replace it."""

INFO = "bucket:flashback_bucket_info:max"
"""The name and labels of each bucket: exactly one series per bucket, so joins cannot fail."""

SCOPE = "@aggregation_matchers@"
"""Matchers of the alert's own scrape labels, for queries in annotations, so that they exclude other
releases, such as staging, in the same Prometheus. They take SCOPE_VALUES."""
SCOPE_VALUES = "@aggregation_values@"

OF_ACCOUNT = f"{INFO}{{{SCOPE},account=%+q}}"
"""The buckets of the alert's account; takes ACCOUNT_VALUES."""
ACCOUNT_VALUES = (SCOPE_VALUES, "$labels.account")

BUCKET_NAME = (
    f"{{{{ with printf `{INFO}{{{SCOPE},bucket_id=%+q}}` {SCOPE_VALUES} $labels.bucket_id"
    ' | query }}{{ . | first | label "name" }}{{ else }}{{ $labels.bucket_id }}{{ end }}'
)
"""Template for the bucket's name in annotations. The name is not a label of the alert: renaming the
bucket would end its alert and start another."""

WITH_BUCKET_LABELS = f"* on ({BUCKET}) group_left (@bucket_labels@) {INFO}"
"""Joins the bucket's labels to a series with a bucket_id, without changing its value."""

WITH_ACCOUNT = f"* on ({BUCKET}) group_left (account) {INFO}"
"""Joins the account to a series with a bucket_id."""


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule."""

    name: str  # level:metric:operations
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule. Its texts are Prometheus templates."""

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
"""The dashboards that alerts link to."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other."""

    name: str
    rules: tuple[Record | Alert, ...]
    page: str = EXPORTER_PAGE  # the dashboard of its alerts
    interval: str | None = None  # None: the global evaluation interval
    needs: str | None = None  # omitted unless this setting is set


def optional(setting: str, page: str, *rules: Record | Alert, interval: str | None = None) -> Group:
    """A group that needs a setting; the Helm chart derives the setting from the group's name."""
    return Group(f"flashback-{setting.replace('_', '-')}", rules, page, interval, setting)


@dataclass(frozen=True, slots=True)
class File:
    """A file of rules."""

    name: str
    title: str
    groups: tuple[Group, ...]


_JOIN = r"\* on \(.+?\) group_left \(.*?\)"


def promql(text: str) -> str:
    """Dedents an expression, and moves the right side of a join to a line of its own."""
    return re.sub(
        rf"^( *)({_JOIN}) (?={INFO})", r"\1\2\n\1  ", dedent(text).strip(), flags=re.MULTILINE
    )


def counted(noun: str) -> str:
    """Template for the alert's value with a noun: `3 buckets`."""
    return f"{{{{ $value }}}} {noun}{{{{ if ne $value 1.0 }}}}s{{{{ end }}}}"


def some_buckets(condition: str, *arguments: str) -> str:
    """Template that lists up to five buckets that meet a condition, each name and team once.

    The condition has one series per bucket and a `%+q` for each argument; the buckets are those of
    the alert's account.
    """
    joined = f"({condition}) * on ({BUCKET}) group_left (name, @bucket_labels@) {OF_ACCOUNT}"
    once = f"max by (name, @bucket_labels@) ({joined})"
    team = "{{ with .Labels.team }} ({{ . }}){{ end }}"
    asked = (*arguments, *ACCOUNT_VALUES)
    return _listed(f"topk(5, {once})", asked, "name", "{{ .Labels.name }}" + team)


def in_account(series: str) -> str:
    """Bucket series, limited to the alert's account; takes ACCOUNT_VALUES."""
    return f"{series} * on ({BUCKET}) group_left () {OF_ACCOUNT}"


def values_of(label: str, query: str, *arguments: str, otherwise: str = "") -> str:
    """Template that lists the values of a label in the result of a query; else `otherwise`.

    Arguments are formatted with `%+q`: `%q` keeps U+FFFD, which PromQL rejects.
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
