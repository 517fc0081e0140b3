"""The dashboards are what the code says, and Grafana and Prometheus would understand them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from promql_parser import AggregateExpr, BinaryExpr, Call, VectorSelector

from monitoring.boards import render, texts
from monitoring.boards.links import TAG
from monitoring.boards.sdk import JSONEncoder, dashboard, plugins
from monitoring.rendering import ALERTS
from monitoring.settings import UNCHANGED, Choice, Value
from tests.monitoring.rendered import (
    BUILT_IN,
    FOLDER,
    Expression,
    Rendered,
    filled,
    names,
    rendered,
)
from tests.test_docs import names as code_marks
from tests.test_docs import rows

BOARDS = rendered()
EXPRESSIONS = [expression for board in BOARDS for expression in board.expressions()]
SAMPLE = {
    "account": "main",
    "bucket": "b1",
    "host": "h1",
    "job": "flashback",
    "instance": "i1",
    "target": "0.99",
    "down": "OFFLINE|DISCONNECTED",
}
SCRAPE_LABELS = {"job", "instance", "pod", "namespace", "container", "endpoint", "service"}

each_board = pytest.mark.parametrize("board", BOARDS, ids=[each.uid for each in BOARDS])
each_expression = pytest.mark.parametrize(
    "expression", EXPRESSIONS, ids=[f"{each.board}: {each.panel}" for each in EXPRESSIONS]
)


def parsed(expression: Expression) -> Any:  # noqa: ANN401 - the parser's tree has no common type
    """The tree of an expression whose variables are filled in."""
    return promql_parser.parse(filled(expression.text, SAMPLE))


def test_committed_files_are_the_code(tmp_path: Path) -> None:
    """Rendering gives exactly the files that are committed, and removes those of boards gone."""
    (tmp_path / "flashback-gone.json").touch()
    render(tmp_path)
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert written == {file.name: file.read_text() for file in FOLDER.iterdir()}


def round_trip(document: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """A document after it was read and written by the SDK."""
    plugins.register_default_plugins()
    model = dashboard.Dashboard.from_json(document)
    return without_placement(json.loads(json.dumps(model, cls=JSONEncoder)))


def without_placement(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A document without the key that the SDK adds to every link, asked for or not."""
    if isinstance(value, dict):
        is_link = "targetBlank" in value
        return {
            key: without_placement(each)
            for key, each in value.items()
            if not (is_link and key == "placement")
        }
    return [without_placement(each) for each in value] if isinstance(value, list) else value


@each_board
def test_schema_knows_every_key(board: Rendered) -> None:
    """Nothing is lost when Grafana's SDK reads a board and writes it again."""
    assert round_trip(board.document) == board.document


@each_board
def test_schema_would_notice(board: Rendered) -> None:
    """A key that is misspelt does get lost, so the round trip means something."""
    document = json.loads(json.dumps(board.document))
    document["panels"][1]["description_"] = "?"
    assert round_trip(document) != document


@each_board
def test_settings(board: Rendered) -> None:
    """Each board keeps its address, is found by its tag, and shows UTC."""
    document = board.document
    assert re.fullmatch(r"flashback-[a-z]+", board.uid)
    assert (FOLDER / f"{board.uid}.json").exists()
    assert document["tags"] == [TAG]
    assert document["timezone"] == "utc"
    assert document["refresh"] in {"1m", "5m"}
    assert "id" not in document


@each_board
def test_panels_have_their_own_ids_and_places(board: Rendered) -> None:
    """No two panels share an id or a cell of the grid of 24 columns; no line has a hole."""
    everything = board.everything()
    assert len({each["id"] for each in everything}) == len(everything)
    cells = [cells_of(each["gridPos"]) for each in everything]
    for one, other in combinations(cells, 2):
        assert not one & other
    covered = set().union(*cells)
    height = max(y for _, y in covered) + 1
    assert covered == {(x, y) for x in range(24) for y in range(height)}


def cells_of(place: dict[str, int]) -> set[tuple[int, int]]:
    """The cells that a panel covers."""
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }


@each_board
def test_panels_explain_themselves(board: Rendered) -> None:
    """Each panel has a title, a description in whole sentences, a data source and a unit."""
    for panel in board.panels():
        assert panel["title"]
        assert len(panel["description"]) > 20
        assert panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


@each_board
def test_units_fit_the_names(board: Rendered) -> None:
    """What is asked of seconds is shown as seconds, of ratios as percent, and so on."""
    suffixes = {"_seconds": {"s"}, "_ratio": {"percentunit"}, "_bytes": {"bytes"}}
    for panel in board.panels():
        if panel["type"] == "table":
            continue  # each column has a unit of its own
        for target in panel["targets"]:
            for suffix, units in suffixes.items():
                plain = re.fullmatch(rf"max by [^{{]*?\w+{suffix}\{{[^{{}}]*\}}\)", target["expr"])
                if plain:
                    assert panel["fieldConfig"]["defaults"]["unit"] in units, panel["title"]


@each_expression
def test_expressions_parse(expression: Expression) -> None:
    """Each expression is PromQL, once its variables are filled in."""
    parsed(expression)


@each_board
def test_variables_are_defined(board: Rendered) -> None:
    """Boards use variables that they have or that are Grafana's, and have none for nothing."""
    variables = board.variables()
    queries = [json.dumps(each.get("query")) for each in variables.values()]
    used = names(" ".join([*queries, *(each.text for each in board.expressions())]))
    assert used <= {*variables, *BUILT_IN}
    assert set(variables) - used == {"datasource"}


@each_expression
def test_scrape_labels_are_reduced_first(expression: Expression) -> None:
    """Nothing is joined or compared before it is reduced over what a scrape adds.

    Else a second replica or a replaced pod would double counts and break joins.
    """
    for selector, above in selectors(parsed(expression)):
        assert above, selector
        if re.match("flashback_(node|bucket)_", selector):
            assert str(above[-1].op) in {"max", "min"}, selector
        if expression.board != "flashback-exporter":
            assert not SCRAPE_LABELS & set(above[-1].modifier.labels)


def selectors(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[str, tuple[Any, ...]]]:  # noqa: ANN401 - the parser's tree
    """The name of each metric asked for, and the aggregations between it and the next join."""
    if isinstance(tree, VectorSelector):
        yield tree.name or "", above
    elif isinstance(tree, BinaryExpr):
        for side in (tree.lhs, tree.rhs):
            yield from selectors(side)
    elif isinstance(tree, AggregateExpr):
        yield from selectors(tree.expr, (*above, tree))
    elif isinstance(tree, Call):
        for argument in tree.args:
            yield from selectors(argument, above)
    else:  # parentheses, subqueries and windows have one inner expression, numbers none
        inner = getattr(tree, "expr", None) or getattr(tree, "vector_selector", None)
        if inner is not None:
            yield from selectors(inner, above)


def test_selectors_are_found() -> None:
    """The walk through a tree sees every metric, and what stands between it and a join."""
    tree = promql_parser.parse(
        "sum(max by (a) (rate(m1[5m])) * -(m2)) or avg_over_time((m3)[1d:1h])"
    )
    found = [(name, [str(each.op) for each in above]) for name, above in selectors(tree)]
    assert found == [("m1", ["max"]), ("m2", []), ("m3", [])]


@each_expression
def test_rates_follow_the_scrape_interval(expression: Expression) -> None:
    """Rates are over Grafana's own interval, which is never shorter than four scrapes."""
    windows = re.findall(r"(?:rate|increase)\(\w+\{[^}]*\}\[([^\]]+)\]", expression.text)
    assert len(windows) == len(re.findall(r"\b(?:rate|increase)\(", expression.text))
    assert set(windows) <= {"$__rate_interval"}


def test_every_metric_is_on_a_board() -> None:
    """The boards ask for each documented metric of the exporter, and for none that is not."""
    sections = ("Nodes and buckets", "The exporter itself")
    documented = {code_marks(row[0])[0] for section in sections for row in rows(section)}
    asked = {
        re.sub("_bucket$", "", name) if name.endswith("_seconds_bucket") else name
        for expression in EXPRESSIONS
        for name, _ in selectors(parsed(expression))
        if name.startswith("flashback_")
    }
    assert asked == documented


@each_board
def test_links_lead_to_boards_and_their_variables(board: Rendered) -> None:
    """A link within Grafana names a board that there is, and sets variables that it has."""
    others = {each.uid: each for each in BOARDS}
    urls = re.findall(r'"url": "(/d/[^"]+?)"[,}]', json.dumps(board.document))
    for url in urls:
        uid, query = url.removeprefix("/d/").split("?", 1)
        variables = set(re.findall(r"var-(\w+)=", query))
        assert variables
        assert variables <= set(others[uid].variables())
        assert "${datasource:queryparam}" in query
        assert "${__url_time_range}" in query
    assert urls or board.uid == "flashback-exporter"


@each_board
def test_links_above_each_board(board: Rendered) -> None:
    """Each board leads to the others, with its variables and times, and to the runbook."""
    others, runbook = board.document["links"]
    assert (others["type"], others["tags"]) == ("dashboards", [TAG])
    assert others["includeVars"]
    assert others["keepTime"]
    assert runbook["url"] == UNCHANGED.texts()["runbook_url"]


def test_links_of_panels_are_sections_of_the_runbook() -> None:
    """A panel that leads to the runbook leads to an alert that there is."""
    anchors = {f"#{alert.name.lower()}" for alert in ALERTS}
    links = [
        link["url"]
        for board in BOARDS
        for panel in board.panels()
        for link in panel.get("links", [])
    ]
    assert len(links) > 20
    assert {url.removeprefix(UNCHANGED.texts()["runbook_url"]) for url in links} <= anchors


def test_texts_are_stable() -> None:
    """Rendering twice gives the same, so a difference is always a change."""
    assert texts() == texts()


def test_settings_of_the_rules_are_the_boards_own() -> None:
    """What counts as down, the target and the runbook are those that the rules are made with."""
    changes: dict[str, Value] = {
        "down_statuses": ["ERROR", "OFFLINE"],
        "slo_target": 0.97,
        "runbook_url": "https://r",
    }
    changed = Rendered(json.loads(texts(Choice(changes, {}))["flashback-slo.json"]))
    variables = changed.variables()
    assert variables["down"]["current"]["value"] == "ERROR|OFFLINE"
    assert variables["target"]["current"]["value"] == "0.97"
    assert "0.97" in variables["target"]["query"].split(",")
    assert changed.document["links"][1]["url"] == "https://r"


def test_every_file_is_in_the_documentation() -> None:
    """The page about the dashboards lists exactly the files that there are."""
    page = (FOLDER.parents[1] / "docs" / "dashboards.md").read_text()
    listed = re.findall(r"^\| `(flashback-\w+\.json)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(file.name for file in FOLDER.iterdir())
