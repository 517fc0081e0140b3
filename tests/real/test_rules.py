"""The rules' unit tests, run by promtool on the files and on the chart's output."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from monitoring.rendering import rendered, write
from monitoring.settings import SettingsError, read_overrides
from tests.chart.helm import JOB, MINIMAL, NAMESPACE, Helm, RefusedError, one
from tests.monitoring.test_rules import CHANGED, CONTRADICTIONS, NAMES
from tests.real.programs import check, program

FOLDER = Path(__file__).parents[2] / "monitoring"
RULES = sorted((FOLDER / "rules").glob("*.yaml"))
TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
LONG = {
    "nodes",
    "buckets",
    "accounts",
    "previous_days",
    "exporter",
    "not_listed",
    "burning",
    "connections",
}
"""Test files that simulate days or weeks."""

TUNED = {
    "FlashbackSchemaDrift": {"enabled": False},
    "FlashbackNodeDown": {"severity": "page", "for": "2m"},
}


@pytest.fixture(params=["helm", "helm3"])
def helm(request: pytest.FixtureRequest) -> Helm:
    """Each version of Helm that the chart supports."""
    return Helm(program(request.param))


def groups_of(helm: Helm, folder: Path, **values: Any) -> list[Any]:  # noqa: ANN401 - YAML
    """The groups of the chart's PrometheusRule, by name, with values below `rules`."""
    file = folder / "values.json"
    file.write_text(json.dumps({"rules": {"enabled": True, **values}}))
    objects = helm.render(*MINIMAL, f"--values={file}")
    return by_name(one(objects, "PrometheusRule")["spec"]["groups"])


def by_name(groups: list[Any]) -> list[Any]:
    """Groups in the order of their names."""
    return sorted(groups, key=lambda group: str(group["name"]))


def plain(**changes: Any) -> list[Any]:  # noqa: ANN401 - YAML
    """The groups that `python -m monitoring` writes with the same changes, as the chart has them.

    The chart's rules also select its namespace, which is a label of its targets.
    """
    settings = {"exporter_job": JOB, **changes.get("settings", {})}
    texts = rendered(read_overrides({**changes, "settings": settings}, NAMES)).values()
    groups = [group for text in texts for group in yaml.safe_load(text)["groups"]]
    if "namespace" in settings.get("aggregation_labels", ["namespace"]):
        own = re.compile(f'job="{re.escape(settings["exporter_job"])}"')
        for rule in (rule for group in groups for rule in group["rules"]):
            rule["expr"] = own.sub(rf'\g<0>,namespace="{NAMESPACE}"', rule["expr"])
    return by_name(groups)


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_linter_has_nothing_to_say(promtool_path: str, file: Path) -> None:
    """Promtool accepts the committed rules with all of its lint checks."""
    check(promtool_path, "check", "rules", "--lint=all", "--lint-fatal", str(file))


def test_changed_rules_are_good_rules(promtool_path: str, tmp_path: Path) -> None:
    """With every setting changed, promtool still accepts the rules."""
    for name, text in rendered(read_overrides({"settings": CHANGED}, NAMES)).items():
        (tmp_path / name).write_text(text)
        check(promtool_path, "check", "rules", "--lint=all", "--lint-fatal", str(tmp_path / name))


def test_example_is_a_good_configuration(promtool_path: str) -> None:
    """Promtool accepts the example for Prometheus, and finds the rules that it names."""
    check(promtool_path, "check", "config", str(FOLDER / "prometheus.example.yaml"))


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=file.stem, marks=[pytest.mark.long] * (file.stem in LONG))
        for file in TESTS
    ],
)
def test_rules_do_what_they_say(promtool_path: str, file: Path) -> None:
    """Each alerting and recording rule passes its unit tests."""
    check(promtool_path, "test", "rules", str(file))


def test_chart_changes_nothing_by_itself(helm: Helm, tmp_path: Path) -> None:
    """Without settings the chart's rules are those of `python -m monitoring`."""
    assert groups_of(helm, tmp_path) == plain()


def test_chart_applies_settings_as_the_renderer_does(
    helm: Helm, promtool_path: str, tmp_path: Path
) -> None:
    """With all settings and some alerts changed, chart and renderer make the same valid rules."""
    changes = {"settings": {**CHANGED, "exporter_job": "fb"}, "alerts": TUNED}
    found = groups_of(helm, tmp_path, **changes)
    assert found == plain(**changes)
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": found}))
    check(promtool_path, "check", "rules", "--lint=all", "--lint-fatal", str(file))


@pytest.mark.parametrize("name", CHANGED)
def test_chart_applies_each_setting_alone(tmp_path: Path, name: str) -> None:
    """With one setting changed, the chart's rules are those of `python -m monitoring`."""
    changes = {"settings": {name: "fb" if name == "exporter_job" else CHANGED[name]}}
    assert groups_of(Helm(program("helm")), tmp_path, **changes) == plain(**changes)


def test_changed_rules_behave(helm: Helm, promtool_path: str, tmp_path: Path) -> None:
    """An alert uses the down status, wait and severity from the chart's values."""
    settings = {"down_statuses": ["BROKEN"], "aggregation_labels": ["job", "cluster"]}
    groups = groups_of(helm, tmp_path, settings=settings, alerts=TUNED)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    labels = f'job="{JOB}",cluster="c",instance="i",bucket_id="b"'
    node = f'{labels},ip="192.0.2.1",host="h"'
    series = {
        f'flashback_bucket_info{{{labels},name="n",account="main"}}': "1x20",
        f'flashback_node_status{{{node},status="BROKEN"}}': "1x20",
    }
    alert = (
        'ALERTS{alertname="FlashbackNodeDown",alertstate="%s",severity="page",'
        f'job="{JOB}",cluster="c",account="main",ip="192.0.2.1",host="h"}}'
    )
    expressions = [
        {
            "eval_time": moment,
            "expr": 'ALERTS{alertname="FlashbackNodeDown"}',
            "exp_samples": [{"labels": alert % state, "value": 1}],
        }
        for moment, state in (("1m", "pending"), ("3m", "firing"))
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": expressions,
    }
    records_first = sorted((group["name"] for group in groups), key="flashback-buckets".__ne__)
    whole = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "group_eval_order": records_first,
        "tests": [test],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(whole))
    check(promtool_path, "test", "rules", str(tmp_path / "test.yaml"))


@pytest.mark.parametrize(
    "values",
    [
        {"settings": {"node_down": "5m"}},
        {"settings": {"slo_target": 99.9}},
        {"settings": {"bucket_labels": ["team"]}},
        {"settings": {"aggregation_labels": ["namespace"]}},
        {"alerts": {"FlashbackNodeDwon": {"enabled": False}}},
    ],
)
def test_chart_refuses_what_would_do_nothing_or_harm(
    helm: Helm, tmp_path: Path, values: dict[str, Any]
) -> None:
    """Helm refuses unknown settings and alerts, and values that are invalid."""
    with pytest.raises(RefusedError, match="values don't meet the specifications"):
        groups_of(helm, tmp_path, **values)


@pytest.mark.parametrize(("changes", "problem"), CONTRADICTIONS)
def test_chart_refuses_labels_that_contradict_each_other(
    helm: Helm, tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    """The chart refuses contradictory labels with the renderer's error message."""
    with pytest.raises(RefusedError, match=re.escape(problem)):
        groups_of(helm, tmp_path, **changes)


@st.composite
def label_settings(draw: st.DrawFn) -> dict[str, list[str]]:
    """Labels of scrapes, buckets and nodes; most combinations are valid."""
    names = st.sampled_from(["namespace", "cluster", "pod", "team", "owner", "region"])
    some = st.lists(names, max_size=3, unique=True)
    of_buckets = draw(some)
    scraped = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    of_nodes = draw(st.sampled_from([of_buckets, of_buckets[:1], draw(some)]))
    return {
        "aggregation_labels": [*(each for each in scraped if each not in of_buckets), "job"],
        "bucket_labels": ["account", *of_buckets],
        "node_labels": ["account", "ip", "host", *of_nodes],
    }


@given(label_settings())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_accepted_labels_give_good_rules(promtool_path: str, labels: dict[str, list[str]]) -> None:
    """For each combination of labels that is accepted, promtool accepts the rules."""
    try:
        overrides = read_overrides({"settings": labels}, NAMES)
    except SettingsError:
        reject()
    with TemporaryDirectory() as folder:
        write(Path(folder), overrides)
        files = map(str, Path(folder).iterdir())
        check(promtool_path, "check", "rules", "--lint=all", "--lint-fatal", *files)
