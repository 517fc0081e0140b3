"""The rules' unit tests, run on vmalert."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real.programs import program

FOLDER = Path(__file__).parents[2] / "monitoring" / "tests"
LASTING = {"accounts", "burning", "connections", "nodes", "not_listed", "previous_days"}
"""Test files that simulate many hours, for which vmalert-tool needs minutes."""

TESTS = [
    pytest.param(file, id=file.stem, marks=[pytest.mark.nightly] * (file.stem in LASTING))
    for file in sorted(FOLDER.glob("*.yaml"))
]

LATER = {"since 1970-01-01 02:10:00": "since 1970-01-01 02:12:00"}
"""vmalert reads recorded series from the database, so rules that use them are a step later."""

TWO_NAMES = "a failing bucket moves to another shard, which already knows a new name"
"""A test in which a bucket briefly has two names. Which of them vmalert uses is random."""


def for_vmalert(text: str, folder: Path) -> dict[str, Any]:
    """A promtool test file in vmalert-tool's format. Its paths are relative to `folder`."""
    for on_time, late in LATER.items():
        text = text.replace(on_time, late)
    whole: dict[str, Any] = yaml.safe_load(text)
    whole["rule_files"] = [str((folder / file).resolve()) for file in whole["rule_files"]]
    whole["tests"] = [test for test in whole["tests"] if test.get("name") != TWO_NAMES]
    for test in whole["tests"]:
        test["metricsql_expr_test"] = [
            {**each, "expr": plain(each["expr"])} for each in test.pop("promql_expr_test", [])
        ]
    return whole


def plain(expr: str) -> str:
    """An expression that returns the same labels as in Prometheus.

    vmalert-tool's ALERTS always have the name of their group, and its round() keeps metric names.
    """
    if expr.startswith("round("):
        return f'label_del({expr}, "__name__")'
    return f'label_del({expr}, "alertgroup")'


@pytest.mark.long
@pytest.mark.parametrize("file", TESTS)
def test_rules_do_in_vmalert_what_they_do_in_prometheus(file: Path, tmp_path: Path) -> None:
    """Each record and alert passes the tests that it passes in Prometheus."""
    tests = tmp_path / file.name
    tests.write_text(yaml.safe_dump(for_vmalert(file.read_text(), file.parent)))
    done = subprocess.run(
        [program("vmalert-tool"), "unittest", "--disableAlertgroupLabel", f"--files={tests}"],
        capture_output=True,
        text=True,
        check=False,
        env={"TMPDIR": str(tmp_path)},  # where it keeps a database
    )
    assert done.returncode == 0, done.stdout + done.stderr
