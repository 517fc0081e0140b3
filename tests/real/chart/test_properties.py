"""The Helm chart with random values: it renders or reports an error."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chart.helm import CASES, CHART, GO_ERRORS, KINDS, OPERATOR, Helm, RefusedError
from tests.chart.values_table import documented
from tests.real.programs import program

ABOUT_VALUES = ("the values cannot be used", "values don't meet the specifications")
(EVERYTHING,) = (
    yaml.safe_load(each.read_text()) for each in CASES if each.name == "everything-values.yaml"
)
PATHS = [each.path for each in documented((CHART / "values.yaml").read_text())]
OTHERS = re.compile(
    r"extra|lifecycle|config(\.|Sources)|initContainers|tolerations|affinity|topology|dnsConfig|hostAliases|"
    r"rategy|ecurityContext|resources|networkPolicy|httpRoute|ingress|elabelings|tlsConfig|basicAuth"
)
"""What the chart passes on unchecked to Kubernetes, the operator or the exporter."""

ODD_TEXTS = (
    "",
    "0",
    "0123",
    "true",
    "null",
    "~",
    "1e3",
    "a b",
    "x:",
    "- a",
    "#",
    "'",
    '"',
    "é",
    "%",
)
DOCUMENTED = {
    "{{ nofunc }}": 'function "nofunc" not defined',
    "{{ .Values.nope.x }}": "nil pointer evaluating interface {}.x",
}
"""Invalid templates, with Helm's own error message for each. The README mentions them."""
TEMPLATES = ("{{ .Release.Name }}", "{{", "{{ x", "}}", '{{ "{{" }}', *DOCUMENTED)
TEXTS = st.sampled_from((*ODD_TEXTS, *TEMPLATES, "${X}", "$1", "30s", "293y", "a-b", "/m"))
SCALARS = st.none() | st.booleans() | st.integers(-1, 5_000_000) | TEXTS | st.text(max_size=5)
ODD = (
    SCALARS
    | st.lists(SCALARS, max_size=2)
    | st.dictionaries(st.sampled_from(("a", "b/c", "1", "a b", "app.kubernetes.io/name")), SCALARS)
)


def usual(path: str) -> Any:  # noqa: ANN401 - any value
    """The value at a path in the test case `everything`, or None."""
    found: Any = EVERYTHING
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """The required values, and some others that are usual, null or odd."""
    found: dict[str, Any] = {
        "credentials": {"existingSecret": "s"},
        "account": {"buckets": ["b"]},
    }
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=6, unique=True)):
        *above, name = path.split(".")
        place = found
        for step in above:
            place = place.setdefault(step, {})
        plain = st.sampled_from((None, usual(path)))
        place[name] = draw(plain if OTHERS.search(path) else plain | ODD)
    return found


def label_values(manifest: dict[str, Any]) -> list[object]:
    """The label values of an object and its pods."""
    pods = manifest.get("spec", {}).get("template", {}).get("metadata", {})
    return [*manifest["metadata"].get("labels", {}).values(), *pods.get("labels", {}).values()]


def is_documented(values: dict[str, Any], said: str) -> bool:
    """Whether Helm failed on a template that the README mentions."""
    return any(text in str(values) and words in said for text, words in DOCUMENTED.items())


def check(manifest: dict[str, Any]) -> None:
    """Check that Kubernetes would accept the object."""
    if manifest["apiVersion"] != OPERATOR and manifest["kind"] != "HTTPRoute":
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", manifest["metadata"]["name"])
    for each in label_values(manifest):
        assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?", str(each))


@settings(max_examples=settings().max_examples // 2)  # each example starts a process
@given(
    values=values(),
    release=st.sampled_from(("metrics", "123", "true", "a.b")),
    operator=st.booleans(),
)
def test_random_values_render_or_fail_clearly(
    values: dict[str, Any], release: str, *, operator: bool
) -> None:
    """Any values render valid objects or fail with an error message about the values."""
    helm = Helm(program("helm"))
    known = [f"--api-versions={kind}" for kind in KINDS] if operator else []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        try:
            rendered, said = helm.render(f"--values={file}", *known, release=release), ""
        except RefusedError as refused:
            rendered, said = [], str(refused)
    if not is_documented(values, said):
        assert rendered or any(each in said for each in ABOUT_VALUES), said
        assert not any(each in said for each in GO_ERRORS), said
    for manifest in rendered:
        check(manifest)
