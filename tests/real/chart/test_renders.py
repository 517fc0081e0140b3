"""The Helm chart in the hands of the real Helm: what it renders and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from cloudcoil.models.prometheus_operator import v1

from tests.chart.helm import (
    CHART,
    GOLDEN,
    KINDS,
    MINIMAL,
    OPERATOR,
    Helm,
    RefusedError,
    golden_text,
    with_operator,
)
from tests.chart.refusals import REFUSALS, VERY_SECRET

MODELS = {"ServiceMonitor": v1.ServiceMonitor, "PrometheusRule": v1.PrometheusRule}


def test_linter_has_nothing_to_say(helm: Helm, case: Path) -> None:
    """No warnings, which --strict would refuse, and no errors."""
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHART), f"--values={case}")


def test_renders_are_the_golden_ones(helm: Helm, case: Path) -> None:
    """What the chart makes of a case is what was reviewed; renew it by `python -m tests.chart`."""
    golden = (GOLDEN / case.name).read_text()
    assert golden_text(helm.render(*with_operator(case))) == golden


def test_kubernetes_older_than_the_oldest_is_refused(helm: Helm) -> None:
    """A cluster that the chart was not checked for is told so."""
    with pytest.raises(RefusedError, match=r"incompatible with Kubernetes"):
        helm.render(*MINIMAL, "--kube-version=1.24.0")


def test_operator_knows_every_key(helm: Helm, case: Path) -> None:
    """The operator's models lose nothing of its objects, so there is no key that they ignore."""
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
    """By default they are made where the cluster knows their kind; values can say otherwise."""
    found = helm.render(*MINIMAL, *arguments)
    assert {each["kind"] for each in found if each["apiVersion"] == OPERATOR} == kinds


@pytest.mark.parametrize(("arguments", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_work_is_refused(helm: Helm, arguments: list[str], message: str) -> None:
    """Helm stops before anything is installed, and says why without quoting a secret."""
    with pytest.raises(RefusedError) as refused:
        helm.render(*arguments)
    assert message in str(refused.value).replace('\\"', '"')
    assert VERY_SECRET not in str(refused.value)
