"""The rules of Grafana's dashboard-linter, so that this Go program need not be installed.

The tests are named after the linter's rules. Rules about Loki do not apply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
from promql_parser import AggregateExpr, BinaryExpr, Call, MatrixSelector, VectorSelector

from tests.monitoring.rendered import Rendered, filled, rendered

BOARDS = rendered()
OF_EXPORTERS = "flashback-exporter"
"""The only dashboard about single processes: in others `instance` is aggregated away."""

COUNTER = re.compile(r"_(total|count|sum|bucket)$")
ANY = {"days": "30", "target": "0.99"} | dict.fromkeys(
    ("cluster", "namespace", "job", "instance", "account", "bucket", "host"), "x"
)

UNITS = {
    "bytes",
    "cps",
    "dateTimeAsIso",
    "none",
    "percentunit",
    "reqps",
    "s",
    "short",
    "time:YYYY-MM-DD",
}
"""The Grafana units that dashboards use."""

each_board = pytest.mark.parametrize("board", BOARDS, ids=[each.uid for each in BOARDS])


def nodes(tree: Any, call: str = "") -> Iterator[tuple[Any, str]]:  # noqa: ANN401 - the parser's tree
    """Each selector of an expression, with the function that it is an argument of."""
    if isinstance(tree, VectorSelector | MatrixSelector):
        yield tree, call
    elif isinstance(tree, BinaryExpr):
        yield from nodes(tree.lhs)
        yield from nodes(tree.rhs)
    elif isinstance(tree, Call):
        for argument in tree.args:
            yield from nodes(argument, tree.func.name)
    elif isinstance(tree, AggregateExpr):
        yield from nodes(tree.expr, call)
    elif (inner := getattr(tree, "expr", None)) is not None:
        yield from nodes(inner, call)


def selectors(text: str) -> list[tuple[VectorSelector, str]]:
    """Each selector of an expression without its window, and the function around it."""
    tree = promql_parser.parse(filled(text, ANY))
    return [
        (each.vector_selector if isinstance(each, MatrixSelector) else each, call)
        for each, call in nodes(tree)
    ]


def test_every_selector_is_found() -> None:
    """`selectors` finds all selectors of an expression, however deeply nested."""
    text = "sum(rate(a_total[5m])) / -(b) and on () max_over_time((c > 1)[1h:1m]) * d"
    found = [(each.name, call) for each, call in selectors(text)]
    assert found == [("a_total", "rate"), ("b", ""), ("c", ""), ("d", "")]


@each_board
def test_template_datasource_rule(board: Rendered) -> None:
    """Each dashboard has one data source variable, with the usual name and label."""
    found = [each for each in board.variables().values() if each["type"] == "datasource"]
    assert [(each["name"], each["label"], each["query"]) for each in found] == [
        ("datasource", "Data source", "prometheus")
    ]


@each_board
def test_template_job_and_instance_rule(board: Rendered) -> None:
    """The variables `job` and `instance` allow several values, and `All` matches any value."""
    for name, label in (("job", "Job"), ("instance", "Instance")):
        if name == "instance" and board.uid != OF_EXPORTERS:
            continue
        variable = board.variables()[name]
        assert variable["type"] == "query"
        assert variable["label"] == label
        assert variable["multi"]
        assert variable["allValue"] == ".+"


@each_board
def test_template_label_promql_rule(board: Rendered) -> None:
    """Query variables have a PromQL query and use the chosen data source."""
    for variable in board.variables().values():
        if variable["type"] == "query":
            query = filled(variable["query"]["query"], ANY)
            found = re.fullmatch(r"label_values\((.+), \w+\)|query_result\((.+)\)", query)
            assert found is not None, query
            promql_parser.parse(found[1] or found[2])
            assert variable["datasource"]["uid"] == "${datasource}"


@each_board
def test_template_on_time_change_reload_rule(board: Rendered) -> None:
    """The options of query variables are refreshed when the time range changes."""
    for variable in board.variables().values():
        if variable["type"] == "query":
            assert variable["refresh"] == 2


@each_board
def test_panel_rules(board: Rendered) -> None:
    """Each panel has a title, a description, queries, and the chosen data source."""
    for panel in board.panels():
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
        assert {each["datasource"]["uid"] for each in panel["targets"]} == {"${datasource}"}


@each_board
def test_panel_units_rule(board: Rendered) -> None:
    """Each panel, and each column with its own unit, has one of Grafana's units."""
    for panel in board.panels():
        config = panel["fieldConfig"]
        own = [
            each["value"]
            for override in config["overrides"]
            for each in override["properties"]
            if each["id"] == "unit"
        ]
        assert {config["defaults"]["unit"], *own} <= UNITS


@each_board
def test_target_job_and_instance_rule(board: Rendered) -> None:
    """Each selector has the chosen job and scrape labels, and for processes the instance."""
    for expression in board.expressions():
        for selector, _ in selectors(expression.text):
            matchers = {(each.name, str(each.op)) for each in selector.matchers.matchers}
            names = {name for name, _ in matchers}
            assert {"cluster", "namespace", "job"} <= names, selector
            if board.uid == OF_EXPORTERS and expression.panel not in {"Starts", "Reloads"}:
                assert "instance" in names, selector


@each_board
def test_target_rate_interval_rule(board: Rendered) -> None:
    """Rates are over `$__rate_interval`."""
    for expression in board.expressions():
        windows = re.findall(r"\bi?rate\(\w+\{[^}]*\}\[([^\]]+)\]", expression.text)
        assert len(windows) == len(re.findall(r"\bi?rate\(", expression.text))
        assert set(windows) <= {"$__rate_interval"}


@each_board
def test_target_counter_agg_rule(board: Rendered) -> None:
    """Counters are used only within rate() or increase()."""
    for expression in board.expressions():
        for selector, call in selectors(expression.text):
            if COUNTER.search(selector.name or ""):
                assert call in {"rate", "increase"}, selector


@each_board
def test_uneditable_dashboard_rule(board: Rendered) -> None:
    """Dashboards cannot be edited in Grafana, because the next version would undo changes."""
    assert board.document["editable"] is False
