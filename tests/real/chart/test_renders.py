"""The Helm chart, rendered by Helm: output and errors for invalid values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cloudcoil.models.prometheus_operator import v1

from tests.chart.helm import (
    CHART,
    GO_ERRORS,
    KINDS,
    MINIMAL,
    OPERATOR,
    Helm,
    RefusedError,
    golden,
    golden_text,
    with_operator,
)
from tests.chart.refusals import (
    HIDDEN_TEXTS,
    HIDDEN_URLS,
    OPEN_TEXTS,
    OPEN_URLS,
    REFUSALS,
    VERY_SECRET,
    WRONG,
    WRONG_PLACES,
    WRONG_URLS,
    accounts,
)

MODELS = {"ServiceMonitor": v1.ServiceMonitor, "PrometheusRule": v1.PrometheusRule}


def test_linter_has_nothing_to_say(helm: Helm, case: Path) -> None:
    """`helm lint --strict` finds no warnings and no errors."""
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHART), f"--values={case}")


def test_renders_are_the_golden_ones(helm: Helm, case: Path) -> None:
    """Each case renders its golden file, which `python -m tests.chart` regenerates."""
    assert golden_text(helm.render(*with_operator(case))) == golden(case).read_text()


def test_kubernetes_older_than_the_oldest_is_refused(helm: Helm) -> None:
    """Helm refuses a Kubernetes version that is older than the chart's kubeVersion."""
    with pytest.raises(RefusedError, match=r"incompatible with Kubernetes"):
        helm.render(*MINIMAL, "--kube-version=1.24.0")


def test_operator_knows_every_key(helm: Helm, case: Path) -> None:
    """The operator's models know every key of the rendered PrometheusRule and ServiceMonitor."""
    always = ("--set=serviceMonitor.enabled=true", "--set=rules.enabled=true")
    found = [each for each in helm.render(*with_operator(case), *always) if each["kind"] in MODELS]
    assert [each["kind"] for each in found] == ["PrometheusRule", "ServiceMonitor"]
    for manifest in found:
        model = MODELS[manifest["kind"]].model_validate(manifest)
        kept = model.model_dump(by_alias=True, exclude_unset=True, mode="json")
        assert kept == manifest


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        ((), set()),
        ([f"--api-versions={KINDS[0]}"], {"ServiceMonitor"}),
        ([f"--api-versions={kind}" for kind in KINDS], set(MODELS)),
        (["--set=serviceMonitor.enabled=true"], {"ServiceMonitor"}),
        (
            ["--set=serviceMonitor.enabled=false", f"--api-versions={KINDS[0]}"],
            set(),
        ),
    ],
    ids=["unknown", "monitors alone", "known", "wanted", "not wanted"],
)
def test_operator_s_objects_come_where_it_is(
    helm: Helm, arguments: list[str], kinds: set[str]
) -> None:
    """The operator's objects are rendered if the cluster has their kind, or as the values say."""
    found = helm.render(*MINIMAL, *arguments)
    assert {each["kind"] for each in found if each["apiVersion"] == OPERATOR} == kinds


@pytest.mark.parametrize(("arguments", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_work_is_refused(helm: Helm, arguments: list[str], message: str) -> None:
    """Rendering fails with an error message that says why and quotes no secret."""
    with pytest.raises(RefusedError) as refused:
        helm.render(*arguments)
    assert message in str(refused.value).replace('\\"', '"')
    assert VERY_SECRET not in str(refused.value)
    assert not any(each in str(refused.value) for each in GO_ERRORS)


def problems(helm: Helm, values: dict[str, Any], folder: Path) -> dict[str, str]:
    """The problems that the chart reports for these values, by place."""
    file = folder / "values.yaml"
    file.write_text(json.dumps(values))
    with pytest.raises(RefusedError) as refused:
        helm.render(f"--values={file}")
    assert VERY_SECRET not in str(refused.value)
    return dict(re.findall(r"^- ([\w.\[\]]+): (.+)", str(refused.value), re.MULTILINE))


def test_everything_that_is_wrong_is_said_at_once(helm: Helm, tmp_path: Path) -> None:
    """One run reports every problem with its place and remedy, and nothing else."""
    found = problems(helm, WRONG, tmp_path)
    assert sorted(found) == sorted(WRONG_PLACES)
    assert [place for place, text in WRONG_PLACES.items() if text not in found[place]] == []


def test_secret_is_refused_in_every_form(helm: Helm, tmp_path: Path) -> None:
    """Secrets in plain text are refused for each key that may have one; variables are accepted."""
    given = {
        "authorization.credentials": OPEN_TEXTS + HIDDEN_TEXTS,
        "login.password": OPEN_TEXTS + HIDDEN_TEXTS,
        "proxy_url": OPEN_URLS + HIDDEN_URLS,
        "base_url": OPEN_URLS,
    }
    forms = [(key, text) for key, texts in given.items() for text in texts]
    shown = {
        f"config.accounts[{index}].{key}"
        for index, (key, text) in enumerate(forms)
        if text in OPEN_TEXTS + OPEN_URLS
    }
    values = {"config": {"accounts": [account(*form) for form in forms]}}
    found = problems(helm, values, tmp_path)
    assert found.keys() == shown
    assert all("would be readable in a ConfigMap" in text for text in found.values())


def test_address_is_checked_beside_its_variables(helm: Helm, tmp_path: Path) -> None:
    """An invalid address is refused even if it contains a variable."""
    forms = [(key, text) for key in ("base_url", "proxy_url") for text in WRONG_URLS]
    forms += [("base_url", f"https://{VERY_SECRET}@h"), ("proxy_url", f"http://p/{VERY_SECRET}")]
    found = problems(helm, {"config": {"accounts": [account(*form) for form in forms]}}, tmp_path)
    assert found.keys() == {
        f"config.accounts[{index}].{key}" for index, (key, _) in enumerate(forms)
    }
    assert all(text.startswith("not an address: write one such as") for text in found.values())


def account(key: str, text: str) -> dict[str, Any]:
    """An account in which one key has this text."""
    place, _, name = key.rpartition(".")
    plain: dict[str, Any] = {"name": "a", "discovery": {}}
    if place == "login":
        return plain | {"login": {"email": "ops@example.com", name: text}}
    authorization = {"authorization": {"credentials": "${T}"}}
    return plain | (authorization | {key: text} if not place else {place: {name: text}})


def test_wrong_key_is_named_where_it_is(helm: Helm) -> None:
    """The error about an invalid key names its path, with every version of Helm."""
    labels = {"id": "b", "labels": {"job": "a", "no label": "b"}}
    with pytest.raises(RefusedError) as refused:
        helm.render(accounts(authorization={"credentials": "${T}"}, buckets=[labels]))
    text = str(refused.value).replace("/", ".")
    assert "accounts.0.buckets.0.labels" in text
    assert all(name in text for name in ("job", "no label"))
    assert "dashboards" not in text.partition("specifications")[2]
