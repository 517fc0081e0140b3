"""What can be chosen above a board: data source, account, bucket, node, target, process."""

from __future__ import annotations

from monitoring.boards.panels import SOURCE
from monitoring.boards.sdk import dashboard

TARGETS = frozenset({"0.999", "0.995", "0.99", "0.95"})
"""What can be chosen as a target, besides the rules' own."""


def datasource() -> dashboard.VariableModel:
    """The Prometheus that is asked."""
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.DATASOURCE,
        name="datasource",
        label="Data source",
        query="prometheus",
        refresh=dashboard.VariableRefresh.ON_DASHBOARD_LOAD,
    )


def account() -> dashboard.VariableModel:
    """The accounts that have buckets."""
    return _several("account", "Account", "label_values(flashback_bucket_info, account)")


def buckets() -> dashboard.VariableModel:
    """Buckets of these accounts, shown by name, used by id."""
    return _named_buckets(_several("bucket", "Bucket", _BUCKETS))


def one_bucket() -> dashboard.VariableModel:
    """A bucket of these accounts, shown by name, used by id."""
    return _named_buckets(_one("bucket", "Bucket", _BUCKETS))


def host() -> dashboard.VariableModel:
    """A node, by its host."""
    return _one("host", "Host", f"label_values({_NODE_SERIES}, host)")


def job() -> dashboard.VariableModel:
    """The jobs under which exporters are scraped."""
    return _several("job", "Job", "label_values(flashback_exporter_build_info, job)")


def instance() -> dashboard.VariableModel:
    """The exporters of these jobs."""
    query = 'label_values(flashback_exporter_build_info{job=~"$job"}, instance)'
    return _several("instance", "Instance", query)


def api_account() -> dashboard.VariableModel:
    """The accounts for which these exporters ask, with buckets or without."""
    query = 'label_values(flashback_api_requests_total{job=~"$job"}, account)'
    return _several("account", "Account", query)


def down(statuses: str) -> dashboard.VariableModel:
    """The statuses that count as down, as a regular expression; at first these."""
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.TEXTBOX,
        name="down",
        label="Down",
        description="The statuses that count as down, with | between them",
        query=statuses,
        current=dashboard.VariableOption(selected=True, text=statuses, value=statuses),
    )


def target(own: str) -> dashboard.VariableModel:
    """The share of a day in which a node should be online; at first this one."""
    targets = sorted({*TARGETS, own}, reverse=True)
    options = [
        dashboard.VariableOption(selected=each == own, text=each, value=each) for each in targets
    ]
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.CUSTOM,
        name="target",
        label="Target",
        description="The share of a previous day in which a node should have been online",
        query=",".join(targets),
        options=options,
        current=next(each for each in options if each.selected),
    )


_NODE_SERIES = '{__name__=~"flashback_node_.+"}'
_BUCKETS = 'query_result(max by (bucket_id, name) (flashback_bucket_info{account=~"$account"}))'


def _named_buckets(variable: dashboard.VariableModel) -> dashboard.VariableModel:
    variable.regex = '/bucket_id="(?<value>[^"]+)|name="(?<text>[^"]+)/g'
    return variable


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


def _several(name: str, label: str, query: str) -> dashboard.VariableModel:
    variable = _one(name, label, query)
    variable.multi, variable.include_all, variable.all_value = True, True, ".+"
    variable.current = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable
