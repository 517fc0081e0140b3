"""The benchmarks run and say what they promise to; how fast anything is, is never asserted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import report, scrape
from benchmarks.command import BENCHMARKS, main
from benchmarks.report import Quantity, Row, rows_to_markdown

ROOT = Path(__file__).parents[1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("poll", ["plain httpx", "bare aiohttp"]),
        ("scrape", ["text: CPU", "text, gzip: CPU"]),
        ("service", ["latest poll", "failures", "memory", "slowest first byte of a scrape"]),
        ("discovery", ["discovery of 20", "discovery of 20 in 4 accounts"]),
        ("reload", ["until it is answered", "longest hold of the loop: CPU"]),
        ("small", ["start to ready", "memory"]),
    ],
)
def test_each_benchmark_runs(
    name: str, figures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each ends by itself, and its figures stand in the table."""
    main(["--quick", name])
    cells = {cell.strip() for cell in capsys.readouterr().out.split("|")}
    assert set(figures) <= cells


def test_client_library_shows_the_same_samples() -> None:
    """What stands beside a scrape shows exactly the samples of the exporter's page."""
    page = b"".join(scrape.polled_targets(3).render(scrape.NOW.monotonic)).decode()
    shown = generate_latest(scrape.library_registry(page)).decode()
    assert _samples(shown) == _samples(page)


def test_what_is_measured_loads_what_users_have() -> None:
    """Libraries load optional parts where they find them; none but the locked ones may count."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("COV")}
    printed = subprocess.check_output(
        [sys.executable, "-m", "tests.harness.loaded_modules"], cwd=ROOT, env=environ, text=True
    )
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    # setuptools loads itself where a virtual environment has it.
    allowed = {_canonical(name) for name in (*locked, "flashback-exporter", "setuptools")}
    distributions = packages_distributions()
    loaded = {
        _canonical(distribution)
        for module in json.loads(printed)
        for distribution in distributions.get(module, ())
    }
    assert "aiohttp" in loaded
    assert loaded <= allowed


def test_table_shows_ratios() -> None:
    """A ratio is a factor, a part of one, or nothing where nothing runs beside it."""
    here = Quantity(2.0, "ms")
    rows = [
        Row("b", "w", here, "half", Quantity(1.0, "ms")),
        Row("b", "w", here, "much", Quantity(400.0, "ms"), "≤ 1/50"),
        Row("b", "w", here),
    ]
    lines = rows_to_markdown(rows).splitlines()[2:]
    assert [[cell.strip() for cell in line.split("|")][4:8] for line in lines] == [
        ["half", "1.00 ms", "2.00 x", ""],
        ["much", "400 ms", "1/200", "≤ 1/50"],
        ["-", "-", "-", ""],
    ]


def test_document_names_the_machine_but_not_its_place() -> None:
    """The document carries the table and the versions, and nothing of where it was written."""
    row = Row("b", "w", Quantity(1, "ms"), "other", Quantity(2, "ms"))
    text = report.performance([row], report.machine(date(2024, 1, 15)))
    assert rows_to_markdown([row]) in text
    assert "- date: 2024-01-15\n" in text
    assert str(report.PATH.parent) not in text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nonsense"], f"no such benchmark: nonsense; there are {', '.join(BENCHMARKS)}"),
        (["--write", "poll"], "--write is for a full run"),
        (["--write", "--quick"], "--write is for a full run"),
    ],
)
def test_wrong_arguments_are_usage_errors(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing runs where the arguments make no sense."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert problem in capsys.readouterr().err


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _samples(page: str) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
    return {
        (found.name, tuple(sorted(found.labels.items())), found.value)
        for family in text_string_to_metric_families(page)
        for found in family.samples
    }
