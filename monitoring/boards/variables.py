"""The dashboards' variables: data source, cluster, account, bucket, node, target, instance."""

from __future__ import annotations

from collections.abc import Sequence

from monitoring.boards.panels import SOURCE
from monitoring.boards.queries import ACCOUNT, select
from monitoring.boards.sdk import dashboard

TARGETS = frozenset({"0.999", "0.995", "0.99", "0.95"})
"""The selectable targets, besides the rules' own."""


def datasource() -> dashboard.VariableModel:
    """The Prometheus data source."""
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.DATASOURCE,
        name="datasource",
        label="Data source",
        query="prometheus",
        refresh=dashboard.VariableRefresh.ON_DASHBOARD_LOAD,
    )


def where() -> tuple[dashboard.VariableModel, ...]:
    """The clusters, namespaces and jobs in which exporters are scraped.

    Not every Prometheus has clusters and namespaces: "All" includes series without them.
    """
    cluster = _several("cluster", "Cluster", f"label_values({_BUILD}, cluster)", ".*")
    namespace = _several(
        "namespace",
        "Namespace",
        f'label_values({_BUILD}{{cluster=~"$cluster"}}, namespace)',
        ".*",
    )
    within = 'cluster=~"$cluster", namespace=~"$namespace"'
    return cluster, namespace, _several("job", "Job", f"label_values({_BUILD}{{{within}}}, job)")


def account() -> dashboard.VariableModel:
    """The accounts that have buckets."""
    return _several(
        "account", "Account", f"label_values({select('flashback_bucket_info')}, account)"
    )


def buckets() -> dashboard.VariableModel:
    """Buckets of the selected accounts: the text is the name, the value the id."""
    return _named_buckets(_several("bucket", "Bucket", _BUCKETS))


def one_bucket() -> dashboard.VariableModel:
    """One bucket of the selected accounts: the text is the name, the value the id."""
    return _named_buckets(_one("bucket", "Bucket", _BUCKETS))


def host() -> dashboard.VariableModel:
    """A node, by its host."""
    series = select("", '__name__=~"flashback_node_.+"')
    return _one("host", "Host", f"label_values({series}, host)")


def instance() -> dashboard.VariableModel:
    """The exporters of these jobs."""
    return _several("instance", "Instance", f"label_values({select(_BUILD)}, instance)")


def api_account() -> dashboard.VariableModel:
    """The accounts of the selected exporters, with or without buckets."""
    query = f"label_values({select('flashback_api_requests_total')}, account)"
    return _several("account", "Account", query)


def days() -> dashboard.VariableModel:
    """The number of previous days to average over: those with recording rules."""
    return _choice("days", "Previous days", "The number of previous days", ("7", "30", "90"), "30")


def target(own: float) -> dashboard.VariableModel:
    """The share of a day in which a node should be online; `own` is the default."""
    targets = sorted({*TARGETS, str(own)}, reverse=True)
    meaning = "The share of a previous day in which a node should have been online"
    return _choice("target", "Target", meaning, targets, str(own))


_BUILD = "flashback_exporter_build_info"
_BUCKETS = f"query_result(max by (bucket_id, name) ({select('flashback_bucket_info', ACCOUNT)}))"


def _named_buckets(variable: dashboard.VariableModel) -> dashboard.VariableModel:
    variable.regex = '/bucket_id="(?<value>[^"]+)|name="(?<text>[^"]+)/g'
    return variable


def _choice(
    name: str, label: str, meaning: str, values: Sequence[str], own: str
) -> dashboard.VariableModel:
    options = [
        dashboard.VariableOption(selected=each == own, text=each, value=each) for each in values
    ]
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.CUSTOM,
        name=name,
        label=label,
        description=meaning,
        query=",".join(values),
        options=options,
        current=next(each for each in options if each.selected),
    )


def _one(name: str, label: str, query: str) -> dashboard.VariableModel:
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.QUERY,
        name=name,
        label=label,
        datasource=SOURCE,
        query={"query": query, "refId": "StandardVariableQuery"},
        definition=query,
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_ASC,
        multi=False,
        include_all=False,
    )


def _several(name: str, label: str, query: str, everything: str = ".+") -> dashboard.VariableModel:
    variable = _one(name, label, query)
    variable.multi, variable.include_all, variable.all_value = True, True, everything
    variable.current = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable
