"""The rules as they are rendered and committed: settings, form, texts, tests, the runbook."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

from exporter.model import Label
from monitoring.rendering import ALERTS, FILES, OPTIONAL, Writer, rendered
from monitoring.ruleset import Alert, Group, Record, promql
from monitoring.settings import EXAMPLES, SETTINGS, Setting, SettingsError, read_overrides, schema
from tests.chart.values_schema import or_null, with_nulls
from tests.monitoring.rendered import rendered as boards

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "monitoring"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
NAMES = [alert.name for alert in ALERTS]

CHANGED: dict[str, Any] = {
    "aggregation_labels": ["cluster", "job", "tenant"],
    "bucket_labels": ["account", "owner", "team"],
    "node_labels": ["ip", "host", "team", "account"],
    "down_statuses": ["BROKEN"],
    "exporter_job": "monitoring/fb",
    "runbook_url": "https://wiki.example/runbook",
    "grafana_url": "https://grafana.example",
    **{
        each.name: {"share": 0.25, "number": 4321, "duration": "77s"}[each.kind]
        for each in SETTINGS
        if each.is_marked
    },
}
"""Another value for every setting."""


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    (
        {"settings": {"bucket_labels": ["account", "namespace"]}},
        "namespace is in aggregation_labels and in bucket_labels: leave it out of one of them",
    ),
    (
        {"settings": {"aggregation_labels": ["job", "team"]}},
        "team is in aggregation_labels and in bucket_labels: leave it out of one of them",
    ),
    (
        {"settings": {"node_labels": ["account", "ip", "host", "owner"]}},
        "owner is in node_labels and not in bucket_labels: add it there",
    ),
]
"""Settings that are valid alone but not together, and the error about them."""


def rules(texts: dict[str, str]) -> list[dict[str, Any]]:
    """All rules in these files."""
    groups = chain.from_iterable(yaml.safe_load(text)["groups"] for text in texts.values())
    return [rule for group in groups for rule in group["rules"]]


RULES = rules(rendered(read_overrides({"settings": EXAMPLES}, NAMES)))
OFF = {rule.name for group in OPTIONAL for rule in group.rules}
"""Alerts that exist only if their setting is set, and the records that they need."""
ALERTING = {rule["alert"]: rule for rule in RULES if "alert" in rule}


def code(expr: str) -> str:
    """An expression without comments."""
    return re.sub(r" *#.*", "", expr)


def test_committed_files_are_the_code(tmp_path: Path) -> None:
    """`python -m monitoring` writes exactly the rule files that are committed."""
    command = (sys.executable, "-m", "monitoring", f"--output={tmp_path}")
    subprocess.run(command, check=True, cwd=ROOT)
    written = {file.name: file.read_text() for file in (tmp_path / "rules").iterdir()}
    assert written == rendered()
    assert written == {file.name: file.read_text() for file in (FOLDER / "rules").iterdir()}


def test_changes_come_from_a_file(tmp_path: Path) -> None:
    """Settings in a values file are applied to the rules; a mistake is an error with its place."""
    values, output = tmp_path / "values.yaml", tmp_path / "output"
    values.write_text(
        "settings: {node_down_for: 3m}\nalerts: {FlashbackPollLag: {severity: page}}\n"
    )
    command = (sys.executable, "-m", "monitoring", f"--values={values}", f"--output={output}")
    subprocess.run(command, check=True, cwd=ROOT)
    texts = {file.name: file.read_text() for file in (output / "rules").iterdir()}
    changed = {rule["alert"]: rule for rule in rules(texts) if "alert" in rule}
    assert changed["FlashbackNodeDown"]["for"] == "3m"
    assert changed["FlashbackPollLag"]["labels"] == {"severity": "page"}
    values.write_text("settings: {node_down_for: soon}\n")
    failed = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "$.settings.node_down_for: 'soon' does not match" in failed.stderr


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"settings": {"node_down": "5m"}}, "'node_down' was unexpected"),
        ({"settings": {"slo_target": 99.9}}, "99.9 is greater than or equal to the maximum"),
        ({"settings": {"poll_lag_seconds": "1m"}}, "'1m' is not of type 'number'"),
        ({"settings": {"bucket_labels": ["owner", "team"]}}, "None of ['owner', 'team'] are valid"),
        ({"settings": {"bucket_labels": ["account", "name"]}}, "should not be valid under"),
        ({"settings": {"aggregation_labels": ["namespace"]}}, "None of ['namespace'] are valid"),
        ({"settings": {"aggregation_labels": []}}, "[] should be non-empty"),
        ({"settings": {"down_statuses": ['O"']}}, "does not match"),
        ({"settings": {"exporter_job": '"}'}}, "does not match"),
        ({"alerts": {"FlashbackNodeDwon": {"enabled": False}}}, "'FlashbackNodeDwon' was"),
        ({"alerts": {"FlashbackNodeDown": {"wait": "5m"}}}, "'wait' was unexpected"),
        ({"rules": {}}, "'rules' was unexpected"),
        ({"settings": {"aggregation_labels": ["job", "account"]}}, "should not be valid under"),
        ({"settings": {"bucket_labels": ["account", "ip"]}}, "should not be valid under"),
        *CONTRADICTIONS,
    ],
)
def test_changes_that_make_no_sense_are_refused(changes: dict[str, Any], problem: str) -> None:
    """A change that has no effect or would break a rule is refused with an error."""
    with pytest.raises(SettingsError, match=re.escape(problem)):
        read_overrides(changes, NAMES)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.name)
def test_each_setting_is_used_and_can_be_found_again(setting: Setting) -> None:
    """Each setting is in the rules, at the end of a line if it is marked, and can be changed."""
    value = EXAMPLES.get(setting.name, setting.default)
    assert value is not None
    text = setting.text(value)
    texts = rendered(read_overrides({"settings": EXAMPLES}, NAMES)).values()
    body = "".join(each.split("groups:\n")[1] for each in texts)
    found = f" {text}" if setting.is_marked else text
    ends = [line.endswith(text) for line in body.splitlines() if found in line]
    assert ends
    assert not setting.is_marked or all(ends)
    changed = rendered(read_overrides({"settings": {setting.name: CHANGED[setting.name]}}, NAMES))
    assert found not in "".join(changed.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_optional_groups_are_off_by_default(name: str) -> None:
    """An optional group is rendered only if its setting is set."""
    (group,) = (group for file in FILES for group in file.groups if group.needs == name)
    heading = f"  - name: {group.name}\n"
    assert heading not in "".join(rendered().values())
    changed = rendered(read_overrides({"settings": {name: EXAMPLES[name]}}, NAMES))
    assert heading in "".join(changed.values())


def test_scrape_labels_are_none_of_the_exporter_s() -> None:
    """`aggregation_labels` must not contain any of the exporter's labels."""
    (setting,) = (each for each in SETTINGS if each.name == "aggregation_labels")
    assert setting.excludes == sorted(map(str, Label))


def test_no_label_or_status_is_left_behind() -> None:
    """With other labels and statuses, rules and texts do not contain the default ones."""
    text = str(rules(rendered(read_overrides({"settings": CHANGED}, NAMES))))
    for word in ("namespace", "OFFLINE", "DISCONNECTED", "github.com"):
        assert word not in text


def test_alerts_can_be_changed_and_left_out() -> None:
    """An alert's severity and `for` can be changed, and an alert can be disabled."""
    tuning = {
        "FlashbackNodeDown": {"severity": "page", "for": "1h"},
        "FlashbackSchemaDrift": {"enabled": False},
    }
    found = rules(rendered(read_overrides({"alerts": tuning}, NAMES)))
    alerts = {rule["alert"]: rule for rule in found if "alert" in rule}
    assert alerts["FlashbackNodeDown"]["for"] == "1h"
    assert alerts["FlashbackNodeDown"]["labels"] == {"severity": "page"}
    assert alerts.keys() == set(NAMES) - {"FlashbackSchemaDrift", *OFF}
    nodes = {alert.name: {"enabled": False} for alert in ALERTS if "Node" in alert.name}
    names = re.findall(
        "name: (.*)", rendered(read_overrides({"alerts": nodes}, NAMES))[FILES[-1].name]
    )
    assert "flashback-alerts-of-nodes" not in names


def test_a_setting_may_not_swallow_what_follows() -> None:
    """A text that would turn the rest of a line into a comment, or that YAML folds, is refused."""
    writer = Writer({"slo_target": "0.9  # slo_target", "keep_firing_for": "1m"}, {})
    group = Group("g", (Record("a:b:c", promql("x > @slo_target@ and y")),))
    with pytest.raises(ValueError, match="must end its line"):
        list(writer.group(group))
    alert = Alert("A", "info", "1m", "two  spaces", "d", "x")
    with pytest.raises(ValueError, match="folding"):
        list(writer.group(Group("g", (alert,))))


def test_rules_are_named_as_prometheus_users_expect() -> None:
    """Records are level:metric:operations, alerts CamelCase with one prefix, no name twice."""
    records = [rule["record"] for rule in RULES if "record" in rule]
    assert all(re.fullmatch(r"[a-z_]+:flashback_[a-z0-9_]+:[a-z0-9_]+", each) for each in records)
    assert all(re.fullmatch(r"Flashback([A-Z][a-z0-9]+)+", each) for each in NAMES)
    assert len({*records, *NAMES}) == len(RULES)


@pytest.mark.parametrize("alert", ALERTING.values(), ids=ALERTING.keys())
def test_each_alert_has_severity_texts_and_links(
    alert: dict[str, Any],
) -> None:
    """Each alert has a severity, texts, links and a `for`."""
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"].keys() == {
        *("summary", "description", "runbook_url", "dashboard_url")
    }
    assert alert["annotations"]["runbook_url"].endswith(f"docs/runbook.md#{alert['alert'].lower()}")
    assert alert["for"]


@pytest.mark.parametrize("alert", ALERTING.values(), ids=ALERTING.keys())
def test_each_alert_links_a_dashboard_that_there_is(alert: dict[str, Any]) -> None:
    """An alert's link leads to an existing dashboard, and sets variables that it has."""
    link = re.sub(r"{{.*?}}", "x", alert["annotations"]["dashboard_url"])
    board, _, query = link.removeprefix("http://localhost:3000/d/").partition("?")
    (found,) = (each for each in boards() if each.uid == board)
    assert {name.removeprefix("var-") for name in parse_qs(query)} <= found.variables().keys()


@pytest.mark.parametrize("alert", ALERTING.values(), ids=ALERTING.keys())
def test_no_wait_makes_an_alert_end_at_a_restart(alert: dict[str, Any]) -> None:
    """No `for` is between three and ten minutes, as Prometheus restores only those from ten on."""
    wait = re.fullmatch(r"(\d+)([smhd])", alert["for"])
    assert wait
    seconds = int(wait[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[wait[2]]
    assert seconds <= 3 * 60 or seconds >= 10 * 60


@pytest.mark.parametrize("alert", ALERTING.values(), ids=ALERTING.keys())
def test_text_queries_select_own_job(alert: dict[str, Any]) -> None:
    """Each query in a text selects its alert's scrape labels, quoted so that PromQL is valid."""
    for query in re.findall("printf `(.*?)`", alert["annotations"]["description"]):
        assert "job=%+q,namespace=%+q" in query
        assert "%q" not in query


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_do_not_use_running_day(rule: dict[str, Any]) -> None:
    """Only FlashbackNodeUptimeLow uses the figures that start again at midnight."""
    words = set(re.findall(r"flashback_\w+", code(rule["expr"])))
    if rule.get("alert") == "FlashbackNodeUptimeLow":
        words.remove("flashback_node_uptime_ratio")
    assert not words & {"flashback_node_uptime_ratio", "flashback_node_latency_average_seconds"}


def test_rules_know_only_what_there_is() -> None:
    """Each metric in a rule or a text is documented, or recorded by another rule."""
    documented = set(
        re.findall(r"^\| `(\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    )
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    for rule in RULES:
        texts = [code(rule["expr"]), *rule.get("annotations", {}).values()]
        for name in re.findall(r"\b(?:\w+:)?flashback_\w+(?::\w+)?", " ".join(texts)):
            assert name in documented | recorded, name


@cache
def checks_in(file: Path) -> list[dict[str, Any]]:
    """The alert tests in a promtool test file."""
    tests = yaml.safe_load(file.read_text())["tests"]
    return [check for test in tests for check in test.get("alert_rule_test", [])]


@pytest.mark.parametrize("alert", NAMES)
def test_each_alert_is_tested_both_ways(alert: str) -> None:
    """Each alert has a promtool test in which it fires, with labels and texts, and one without."""
    files = (FOLDER / "tests").glob("*.yaml")
    checks = [check for file in files for check in checks_in(file) if check["alertname"] == alert]
    firing = [each for check in checks for each in check["exp_alerts"]]
    assert any(not check["exp_alerts"] for check in checks)
    assert firing
    assert all(each["exp_labels"]["severity"] for each in firing)
    assert all(len(each["exp_annotations"]) == 4 for each in firing)


def test_each_alert_has_its_section_in_the_runbook() -> None:
    """The runbook has one section per alert, with the parts Meaning, Check and Fix."""
    sections = re.split(r"^### ", RUNBOOK, flags=re.MULTILINE)[1:]
    assert sorted(each.splitlines()[0] for each in sections) == sorted(NAMES)
    for section in sections:
        assert re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE) == ["Meaning", "Check", "Fix"]


def test_links_of_the_runbook_lead_somewhere() -> None:
    """The links of the runbook and of docs/alerts.md lead to existing files and sections."""
    for page in ("runbook.md", "alerts.md"):
        text = (ROOT / "docs" / page).read_text()
        for link, anchor in re.findall(r"\]\(([^)#:]+)(?:#([\w-]+))?\)", text):
            target = ROOT / "docs" / link
            assert target.exists(), link
            heads = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE) if anchor else []
            assert not anchor or anchor in [head.lower().replace(" ", "-") for head in heads]


def test_records_in_the_documentation_are_there() -> None:
    """Each recorded series that a page names is recorded by a rule."""
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    for page in ("runbook.md", "alerts.md"):
        text = (ROOT / "docs" / page).read_text()
        assert set(re.findall(r"\b(?:node|bucket|account):\w+:\w+", text)) <= recorded


def test_chart_offers_exactly_these_settings() -> None:
    """The chart's schema has exactly the rules' settings and alerts, and also allows nulls."""
    file = ROOT / "helm" / "flashback-exporter" / "values.schema.json"
    offered = json.loads(file.read_text())["properties"]["rules"]["properties"]
    for name, part in json.loads(json.dumps(schema(NAMES))).items():
        assert offered[name] == or_null(with_nulls(part))
