"""The committed dashboards match the code, and are valid for Grafana and Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from promql_parser import AggregateExpr, BinaryExpr, Call, NumberLiteral, VectorSelector

from monitoring.__main__ import main
from monitoring.boards import render, texts
from monitoring.boards.colours import MEANINGFUL, UNKNOWN
from monitoring.boards.links import TAG
from monitoring.boards.sdk import JSONEncoder, dashboard, plugins
from monitoring.rendering import ALERTS
from monitoring.rendering import rendered as rules
from monitoring.settings import UNCHANGED
from tests.monitoring.colour_vision import SIGHTS, distance
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
    "cluster": "c1",
    "namespace": "n1",
    "days": "30",
    "account": "main",
    "bucket": "b1",
    "host": "h1",
    "job": "flashback",
    "instance": "i1",
    "target": "0.99",
}
MARKS = {"Starts", "Reloads"}
"""Annotations are about the exporters themselves, and are not joined with buckets."""

SCRAPE_LABELS = {"job", "instance", "pod", "namespace", "container", "endpoint", "service"}

RECORDS = [
    rule
    for text in rules().values()
    for group in yaml.safe_load(text)["groups"]
    for rule in group["rules"]
    if "record" in rule
]

each_board = pytest.mark.parametrize("board", BOARDS, ids=[each.uid for each in BOARDS])
each_expression = pytest.mark.parametrize(
    "expression", EXPRESSIONS, ids=[f"{each.board}: {each.panel}" for each in EXPRESSIONS]
)


def parsed(expression: Expression) -> Any:  # noqa: ANN401 - the parser's tree has no common type
    """The tree of an expression whose variables are filled in."""
    return promql_parser.parse(filled(expression.text, SAMPLE))


def test_committed_files_are_the_code(tmp_path: Path) -> None:
    """Rendering writes exactly the committed files, and deletes files of removed dashboards."""
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
    """A document without the key `placement`, which the SDK adds to links and annotations."""
    if isinstance(value, dict):
        is_placed = "targetBlank" in value or "useValueForTime" in value
        return {
            key: without_placement(each)
            for key, each in value.items()
            if not (is_placed and key == "placement")
        }
    return [without_placement(each) for each in value] if isinstance(value, list) else value


@each_board
def test_schema_knows_every_key(board: Rendered) -> None:
    """Nothing is lost when Grafana's SDK reads a dashboard and writes it again."""
    assert round_trip(board.document) == board.document


@each_board
def test_schema_would_notice(board: Rendered) -> None:
    """The SDK drops a misspelt key, so the round trip would detect it."""
    document = json.loads(json.dumps(board.document))
    document["panels"][1]["description_"] = "?"
    assert round_trip(document) != document


@each_board
def test_settings(board: Rendered) -> None:
    """Each dashboard has a stable UID, the common tag and UTC, refreshes, and is not editable."""
    document = board.document
    assert re.fullmatch(r"flashback-[a-z]+", board.uid)
    assert (FOLDER / f"{board.uid}.json").exists()
    assert document["tags"] == [TAG]
    assert document["timezone"] == "utc"
    assert document["refresh"] in {"1m", "2m", "5m"}
    assert "id" not in document
    assert document["editable"] is False


@each_board
def test_panels_have_their_own_ids_and_places(board: Rendered) -> None:
    """Panels have unique IDs, do not overlap, and fill the grid of 24 columns without gaps."""
    everything = board.everything()
    assert len({each["id"] for each in everything}) == len(everything)
    cells = [cells_of(each["gridPos"]) for each in board.shown()]
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
def test_panels_have_their_own_titles(board: Rendered) -> None:
    """No two panels of a dashboard have the same title, because users refer to them by it."""
    titles = [each["title"] for each in board.panels()]
    assert len(set(titles)) == len(titles)


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
    """A panel's unit fits the metric: seconds for seconds, percent for ratios, and so on."""
    suffixes = {"_seconds": {"s"}, "_ratio": {"percentunit"}, "_bytes": {"bytes"}}
    for panel in board.panels():
        if panel["type"] == "table":
            continue  # each column has its own unit
        for target in panel["targets"]:
            for suffix, units in suffixes.items():
                plain = re.fullmatch(rf"max by [^{{]*?\w+{suffix}\{{[^{{}}]*\}}\)", target["expr"])
                if plain:
                    assert panel["fieldConfig"]["defaults"]["unit"] in units, panel["title"]


@each_expression
def test_expressions_parse(expression: Expression) -> None:
    """Each expression is valid PromQL when its variables have values."""
    parsed(expression)


@each_board
def test_variables_are_defined(board: Rendered) -> None:
    """Each variable that a dashboard uses is defined or Grafana's own, and no other is defined."""
    variables = board.variables()
    queries = [each["definition"] for each in variables.values() if "definition" in each]
    used = names(" ".join([*queries, *(each.text for each in board.expressions())]))
    assert used <= {*variables, *BUILT_IN}
    assert set(variables) - used == {"datasource"}


@each_expression
def test_scrape_labels_are_reduced_first(expression: Expression) -> None:
    """Series are aggregated over their scrape labels before they are joined or compared.

    Otherwise a second replica or a replaced pod would double counts and break joins. `up`, which
    counts targets, is an exception.
    """
    for selector, above in selectors(parsed(expression)):
        if selector == "up":
            continue
        assert above, selector
        if re.match("flashback_(node|bucket)_", selector):
            assert str(above[-1].op) in {"max", "min"}, selector
        if expression.board != "flashback-exporter" and expression.panel not in MARKS:
            modifier = above[-1].modifier
            assert not SCRAPE_LABELS & set(modifier.labels if modifier else [])


def selectors(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[str, tuple[Any, ...]]]:  # noqa: ANN401 - the parser's tree
    """The name of each selected metric, and the aggregations between it and the next join."""
    if isinstance(tree, VectorSelector):
        yield tree.name or "", above
    elif isinstance(tree, BinaryExpr):
        # A filter neither doubles counts nor breaks joins.
        filters = str(tree.op) in {"and", "unless"} or isinstance(tree.rhs, NumberLiteral)
        for side in (tree.lhs, tree.rhs):
            yield from selectors(side, above if filters else ())
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
    """`selectors` finds every metric, and the aggregations between it and a join."""
    tree = promql_parser.parse(
        "sum(max by (a) (rate(m1[5m])) * -(m2)) or avg_over_time((m3)[1d:1h]) or max(m4 > 0 and m5)"
    )
    found = [(name, [str(each.op) for each in above]) for name, above in selectors(tree)]
    assert found == [("m1", ["max"]), ("m2", []), ("m3", []), ("m4", ["max"]), ("m5", ["max"])]


@each_expression
def test_rates_follow_the_scrape_interval(expression: Expression) -> None:
    """Rates are over `$__rate_interval`, which is never shorter than four scrapes.

    Increases may be over the time range that is shown.
    """
    windows = re.findall(r"(?:rate|increase)\(\w+\{[^}]*\}\[([^\]]+)\]", expression.text)
    assert len(windows) == len(re.findall(r"\b(?:rate|increase)\(", expression.text))
    assert set(windows) <= {"$__rate_interval", "$__range"}


def test_every_metric_is_on_a_board() -> None:
    """The dashboards query each documented metric of the exporter, and no others."""
    sections = ("Nodes and buckets", "The exporter itself")
    documented = {code_marks(row[0])[0] for section in sections for row in rows(section)}
    asked = {
        re.sub("_bucket$", "", name) if name.endswith("_seconds_bucket") else name
        for expression in EXPRESSIONS
        for name, _ in selectors(parsed(expression))
        if name.startswith("flashback_")
    }
    assert asked == documented


def test_recorded_series_are_recorded() -> None:
    """Each recorded series in a query is recorded by our rules, for each number of days."""
    records = {rule["record"] for rule in RECORDS}
    asked = {
        name
        for days in ("7", "30", "90")
        for expression in EXPRESSIONS
        for name, _ in selectors(
            promql_parser.parse(filled(expression.text, SAMPLE | {"days": days}))
        )
        if ":" in name
    }
    assert len(asked) > 10
    assert asked <= records


@each_board
def test_links_lead_to_boards_and_their_variables(board: Rendered) -> None:
    """A link within Grafana leads to an existing dashboard, and sets variables that it has."""
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
    """Each dashboard links to the others, with its variables and times, and to the runbook."""
    others, runbook = board.document["links"]
    assert (others["type"], others["tags"]) == ("dashboards", [TAG])
    assert others["includeVars"]
    assert others["keepTime"]
    assert runbook["url"] == UNCHANGED.texts()["runbook_url"]


def test_links_of_panels_are_sections_of_the_runbook() -> None:
    """The links of panels to the runbook lead to sections of existing alerts."""
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
    """Rendering twice gives the same text."""
    assert texts() == texts()


def test_settings_of_the_rules_are_the_boards_own(tmp_path: Path) -> None:
    """Dashboards use the rules' settings for down statuses, SLO target, job and runbook."""
    values = tmp_path / "values.yaml"
    values.write_text(
        "settings: {down_statuses: [ERROR, OFFLINE], slo_target: 0.97, exporter_job: fb,"
        " runbook_url: 'https://r'}"
    )
    assert main([f"--values={values}", f"--output={tmp_path}"]) == 0
    overview, node, slo = (
        Rendered(json.loads((tmp_path / "dashboards" / f"flashback-{name}.json").read_text()))
        for name in ("overview", "node", "slo")
    )
    target = slo.variables()["target"]
    assert target["current"]["value"] == "0.97"
    assert "0.97" in target["query"].split(",")
    assert slo.document["links"][1]["url"] == "https://r"
    assert any('job="fb"' in each.text for each in overview.expressions())
    assert any('status=~"ERROR|OFFLINE"' in each.text for each in node.expressions())
    (mean,) = (each for each in slo.panels() if each["title"] == "Mean uptime")
    steps = mean["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [each["value"] for each in steps] == [None, 0, 0.85, 0.97, 0.997]


@each_board
def test_unknown_is_never_good(board: Rendered) -> None:
    """The lowest threshold is grey, so that a missing value has no colour with a meaning.

    No query replaces missing values by a number.
    """
    thresholds = re.findall(r'"thresholds": (\{.*?\]\})', json.dumps(board.document))
    assert thresholds
    for each in thresholds:
        base = json.loads(each)["steps"][0]
        assert base == {"color": UNKNOWN, "value": None}
    assert not any("vector(" in each.text for each in board.expressions())


def test_uptime_by_bucket_is_mean_over_nodes() -> None:
    """Each panel `Uptime by bucket` has the mean over a bucket's nodes, as the rules record it."""
    found = [
        (panel["description"], target["expr"])
        for board in BOARDS
        for panel in board.panels()
        if panel["title"] == "Uptime by bucket"
        for target in panel["targets"]
    ]
    assert len(found) == 5
    for description, expr in found:
        assert "mean over a bucket's nodes" in description
        assert expr.startswith("avg by (bucket_id") or "bucket:flashback_node_" in expr


def test_overview_is_cheap() -> None:
    """While sections are collapsed, the overview queries no windows and no series of each node.

    A subquery, a window at each point of a graph, or the nodes of every bucket would cost
    Prometheus too much, once a minute for each viewer.
    """
    (board,) = (each for each in BOARDS if each.uid == "flashback-overview")
    opened = {each["title"] for each in board.shown()}
    asked = [each for each in board.expressions() if each.panel in opened]
    assert len(asked) > 20
    for expression in asked:
        assert "[" not in expression.text.replace("[1h] @ end()", "")
        assert not re.search(r"\bflashback_node_", re.sub(r"\w+:\w+:\w+", "", expression.text))


def test_running_days_leave_room_for_a_small_dip() -> None:
    """A dip of 3 % in today's uptime takes more than a fifth of the axis."""
    found = [
        each["fieldConfig"]["defaults"]
        for board in BOARDS
        for each in board.panels()
        if each["title"] == "Uptime today"
    ]
    assert len(found) == 2
    for defaults in found:
        assert 0.03 / (defaults["max"] - defaults["min"]) > 0.2


@each_board
def test_statuses_are_coloured(board: Rendered) -> None:
    """A column of statuses or severities shows each value with its own background colour."""
    for panel in board.panels():
        for title in {"Status", "Severity"} & columns(panel):
            properties = {
                each["id"]: each["value"]
                for override in panel["fieldConfig"]["overrides"]
                if override["matcher"]["options"] == title
                for each in override["properties"]
            }
            assert properties["custom.cellOptions"]["type"] == "color-background"
            assert len(properties["mappings"][0]["options"]) >= 3


def columns(panel: dict[str, Any]) -> set[str]:
    """The titles of a table's columns; empty for other panels."""
    if panel["type"] != "table":
        return set()
    (organize,) = (each for each in panel["transformations"] if each["id"] == "organize")
    return set(organize["options"]["renameByName"].values())


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_are_distinguishable(sight: str) -> None:
    """No two colours with a meaning look alike, with normal or colour-blind vision."""
    for one, other in combinations(MEANINGFUL, 2):
        assert distance(one, other, SIGHTS[sight]) > 20, (one, other)


def test_alike_colours_are_noticed() -> None:
    """A red and a green that look alike to colour-blind people have a small distance."""
    assert distance("#37872D", "#C4162A", SIGHTS["normal"]) > 60
    assert distance("#2F6B1E", "#8B4A1A", SIGHTS["deuteranopia"]) < 20


def test_every_file_is_in_the_documentation() -> None:
    """The page about the dashboards lists exactly the existing files."""
    page = (FOLDER.parents[1] / "docs" / "dashboards.md").read_text()
    listed = re.findall(r"^\| `(flashback-\w+\.json)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(file.name for file in FOLDER.iterdir())
