"""The examples in the documentation work: each is run or checked according to its kind.

tests/real/test_examples.py checks what needs a real program. Kinds that no test checks are
listed with the reason.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter.config import parse
from exporter.metrics.families import METRICS
from exporter.web.config import load_web_config
from tests.harness.documents import ROOT, Example, examples, guard_in, page_texts

CHECKED_KINDS = {
    "bucket file": "here",
    "configuration": "here",
    "ini": "tests/real/test_examples.py",
    "json": "here, and docs/status.md's by its schema in tests/status/test_api.py",
    "json_exporter": "tests/real/test_coming_from.py",
    "prometheus": "tests/real/test_examples.py",
    "promql": "here",
    "rules": "tests/real/test_examples.py",
    "samples": "here",
    "sh": "here, and command by command in tests/test_page_commands.py",
    "values": "here by the schema, in tests/real/test_examples.py by Helm",
    "web configuration": "here, and in tests/real/test_examples.py by promtool",
}
"""Where the examples of each kind are checked."""

UNCHECKED_KINDS = {
    "text": "a formula or a drawing: nothing to run",
    "provisioning": "only Grafana reads it, and there is none; it is YAML",
}


def by_place(*kinds: str) -> pytest.MarkDecorator:
    """Parametrize a test with all examples of some kinds."""
    return pytest.mark.parametrize("example", examples(*kinds), ids=str)


def test_every_kind_of_example_is_checked_or_says_why_not() -> None:
    """Every kind of example is listed as checked or unchecked, and no other kind is listed."""
    kinds = {example.kind for example in examples()}
    assert kinds == CHECKED_KINDS.keys() | UNCHECKED_KINDS.keys()


@by_place("configuration")
def test_configurations_are_good(example: Example, tmp_path: Path) -> None:
    """Each configuration example is valid."""
    assert parse(example.text, path=tmp_path / "config.yaml", environ={}).accounts


@by_place("bucket file")
def test_bucket_files_are_good(example: Example, tmp_path: Path) -> None:
    """Each bucket file example is valid."""
    (tmp_path / "buckets.yaml").write_text(example.text)
    account = "name: main, authorization: {credentials_file: token}, bucket_files: [buckets.yaml]"
    text = f"accounts: [{{{account}}}]"
    assert parse(text, path=tmp_path / "config.yaml", environ={}).buckets()


@by_place("values")
def test_values_are_the_charts(example: Example) -> None:
    """Each example of chart values matches the chart's schema."""
    schema = json.loads((ROOT / "helm/flashback-exporter/values.schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(yaml.safe_load(example.text))


@by_place("web configuration")
def test_web_configurations_are_good(example: Example, tmp_path: Path) -> None:
    """Each web configuration example is valid, with real keys, certificates and a complete hash."""
    config = load_web_config(guard_in(tmp_path, example))
    assert config.tls is not None
    assert config.users


@by_place("promql")
def test_expressions_parse(example: Example) -> None:
    """Each PromQL example parses; its metric names are checked with all others."""
    promql_parser.parse(example.text)


@by_place("json", "provisioning")
def test_data_are_readable(example: Example) -> None:
    """Each example of JSON or of another program's YAML parses."""
    assert yaml.safe_load(example.text)
    if example.kind == "json":
        json.loads(example.text)


@by_place("samples")
def test_samples_have_the_labels_of_their_family(example: Example) -> None:
    """Each sample in an example has a metric name and labels that the exporter exports."""
    own = {"team"}
    labels = {family.name: set(family.labels) for family in METRICS}
    for family in text_string_to_metric_families(example.text):
        for sample in family.samples:
            missing = labels[sample.name] ^ sample.labels.keys()
            assert {label for label in missing if not label.startswith("<")} <= own, sample


@by_place("sh")
def test_shell_is_shell(example: Example) -> None:
    """Each shell example has valid syntax."""
    shell = ("/bin/sh", "-n")
    done = subprocess.run(shell, input=example.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


OTHER_EXPORTERS = {"flashback_json", "flashback_cron"}
"""Prefixes of the metrics of other programs in docs/coming-from.md."""


def recorded() -> set[str]:
    """The names of all recording rules."""
    files = (ROOT / "monitoring" / "rules").glob("*.yaml")
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def test_records_that_pages_name_exist() -> None:
    """Each recorded series that a page names is produced by a recording rule."""
    for page, text in page_texts():
        for name in re.findall(r"\b\w+:flashback_\w+:\w+", text):
            assert name in recorded(), f"{page}: {name}"


def test_metrics_that_pages_name_exist() -> None:
    """Each metric that a page names is listed in docs/metrics.md."""
    table = (ROOT / "docs" / "metrics.md").read_text()
    known = set(re.findall(r"^\| `(flashback_\w+)`", table, re.MULTILINE))
    known |= {f"{name}_{part}" for name in known for part in ("bucket", "count", "sum")}
    known |= {part for record in recorded() for part in record.split(":")}
    for page, text in page_texts():
        for name in re.findall(r"\bflashback_[a-z0-9_]+", text):
            is_start = name.endswith("_") and any(each.startswith(name) for each in known)
            is_other = page == "docs/coming-from.md" and name.startswith(tuple(OTHER_EXPORTERS))
            assert name in known or is_start or is_other, f"{page}: {name}"


def test_scrape_examples_keep_the_exporter_s_labels() -> None:
    """Every Prometheus example sets honor_labels, so target labels do not replace others."""
    files = [ROOT / "monitoring/prometheus.example.yaml", ROOT / "deploy/compose/prometheus.yaml"]
    texts = [file.read_text() for file in files]
    texts += [each.text for each in examples() if "job_name: flashback-exporter" in each.text]
    assert len(texts) > len(files)
    for text in texts:
        jobs = [
            job for job in yaml.safe_load(text)["scrape_configs"] if "flashback" in job["job_name"]
        ]
        assert jobs
        assert all(job["honor_labels"] is True for job in jobs)
