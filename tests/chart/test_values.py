"""The chart's metadata: values, their schema and table, version, license."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.chart.helm import CHART, ROOT
from tests.chart.renewal import documents
from tests.chart.values_table import documented

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
CHART_YAML = yaml.safe_load((CHART / "Chart.yaml").read_text())
FOR_HELM = {"enabled"}
"""Keys that Helm adds to a dependency's values."""


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_made_parts_are_up_to_date(path: Path) -> None:
    """The generated parts are up to date: the README's table, the schema and the defaults."""
    assert path.read_text() == documents()[path], "run: python -m tests.chart"


def test_chart_is_of_the_exporter_s_version() -> None:
    """The chart, its image and its annotation have the version of the package."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    image = f"{VALUES['image']['repository']}:{version}"
    images = yaml.safe_load(CHART_YAML["annotations"]["artifacthub.io/images"])
    assert (CHART_YAML["version"], CHART_YAML["appVersion"]) == (version, version)
    assert [each["image"] for each in images] == [image]


def test_signature_is_verified_as_the_workflow_makes_it() -> None:
    """The documentation verifies the chart's signature for the workflow that signs it."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    project = "https://github.com/flashback-exporter/flashback-exporter/"
    (workflow, tag) = re.findall(rf"{project}(\S+)@refs/tags/v(\S+)", page)[0]
    text = (ROOT / workflow).read_text()
    assert "push-chart" in text
    assert "cosign sign" in text
    assert f"cosign verify ghcr.io/flashback-exporter/charts/flashback-exporter:{tag} " in page


def test_chart_carries_the_project_s_license() -> None:
    """The license in the chart is the project's, and the annotation names it."""
    assert (CHART / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert CHART_YAML["annotations"]["artifacthub.io/license"] == "Apache-2.0"


def places(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The keys that a schema lists, as dotted paths."""
    for name, child in schema.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from places(child, f"{prefix}{name}.")


def test_schema_knows_exactly_the_documented_values() -> None:
    """The schema and values.yaml have the same keys."""
    paths = {each.path for each in documented((CHART / "values.yaml").read_text())}
    inside = {path.rpartition(".")[0] for path in paths} - {""}
    inside |= {path.rpartition(".")[0] for path in inside} - {""}
    free = (
        "podSecurityContext",
        "securityContext",
        "resources",
        "strategy",
        "updateStrategy",
        "ingress.hosts",
        "serviceMonitor.basicAuth",
        "rules.settings",
        "rules.alerts",
    )
    allowed = {
        path for path in places(SCHEMA) if not path.startswith(tuple(f"{each}." for each in free))
    }
    own = {path for path in paths | inside if not path.startswith("config.")}
    assert allowed - FOR_HELM == own


def with_null(path: str) -> dict[str, Any]:
    """Values in which the value at this path is null."""
    found: Any = None
    for step in reversed(path.split(".")):
        found = {step: found}
    return dict(found)


def test_every_value_may_be_null() -> None:
    """The schema accepts null for each documented value and for the mappings around them."""
    paths = {each.path for each in documented((CHART / "values.yaml").read_text())}
    paths |= {path.rpartition(".")[0] for path in paths if "." in path}
    schema = Draft7Validator(SCHEMA)
    assert [path for path in sorted(paths) if not schema.is_valid(with_null(path))] == []


def refusing_null(schema: Any, place: str = "") -> Iterator[str]:  # noqa: ANN401 - as below
    """The optional keys in a schema's mappings for which null is invalid."""
    if isinstance(schema, list):
        for index, child in enumerate(schema):
            yield from refusing_null(child, f"{place}/{index}")
    if isinstance(schema, dict):
        if "object" in schema.get("type", ""):
            for name in schema.get("properties", {}).keys() - set(schema.get("required", [])):
                child = schema["properties"][name]
                resolved = {"definitions": SCHEMA["definitions"], "allOf": [child]}
                if child is not False and not Draft7Validator(resolved).is_valid(None):
                    yield f"{place}/{name}"
        for key, child in schema.items():
            yield from refusing_null(child, f"{place}/{key}")


def test_every_key_that_may_be_absent_may_be_null() -> None:
    """The schema accepts null for every optional key, also in `config`, `rules` and lists."""
    assert "null" not in SCHEMA["definitions"]["AccountDocument"]["type"]
    assert list(refusing_null(SCHEMA)) == []


def test_addresses_of_the_project_s_files_are_right() -> None:
    """The icon, pictures and pages that Chart.yaml links to exist in the repository."""
    text = (CHART / "Chart.yaml").read_text()
    found = re.findall(r"flashback-exporter/(?:blob/)?main/(\S+)", text)
    assert len(found) >= len(("icon", "picture", "picture", "page", "page"))
    assert [path for path in found if not (ROOT / path).is_file()] == []


def closed(schema: Any, place: str = "") -> Iterator[str]:  # noqa: ANN401 - any part of a document
    """The places where a schema lists keys but accepts others."""
    if isinstance(schema, list):
        for index, child in enumerate(schema):
            yield from closed(child, f"{place}/{index}")
    if isinstance(schema, dict):
        # Conditions list only the keys that they check.
        lists_keys = "object" in schema.get("type", "") and "properties" in schema
        if lists_keys and schema.get("additionalProperties") is not False:
            yield place
        for key, child in schema.items():
            yield from closed(child, f"{place}/{key}")


def test_schema_refuses_unknown_keys_everywhere() -> None:
    """Wherever the schema lists keys, it rejects all others."""
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert list(closed(SCHEMA)) == ["/properties/global"]  # other charts keep values there


def test_table_wants_every_value_documented() -> None:
    """A value without a comment is an error."""
    with pytest.raises(KeyError, match=r"a\.c"):
        documented("a:\n  # -- Known\n  b: 1\n  c: 2\n")
