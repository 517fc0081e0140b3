"""The benchmarks run and say what they promise to; how fast anything is, is never asserted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import (
    answers,
    changes,
    crowd,
    document,
    machine,
    polling,
    reference,
    sample,
    scraping,
)
from benchmarks.command import main
from benchmarks.table import Quantity, Row, rows_to_markdown

ROOT = Path(__file__).parents[1]


BUCKETS = 3


def test_answer_is_compared_with_json_alone() -> None:
    """Both halves of what an answer costs stand beside json.loads."""
    rows = answers.compare(answers.Size(answers=5, rounds=1))
    assert shown(rows) == [
        ("parse", "json.loads alone"),
        ("parse and render", "json.loads alone"),
    ]


def test_poll_is_compared_with_other_clients() -> None:
    """A poll over loopback stands beside plain httpx and bare aiohttp."""
    rows = polling.compare(polling.Size(polls=20, rounds=1))
    assert shown(rows) == [("16 at once", "plain httpx"), ("16 at once", "bare aiohttp")]


def test_scrape_is_compared_with_the_client_library() -> None:
    """CPU time and memory of a page stand beside the client library's, in every encoding."""
    rows = scraping.compare(scraping.Size(buckets=BUCKETS, rounds=1))
    assert [row.what for row in rows] == [
        "text: CPU",
        "OpenMetrics: CPU",
        "text, gzip: CPU",
        "text, gzip: CPU",
        "one more server, each 15 s: CPU",
        "text: peak memory",
        "text, gzip: peak memory",
    ]


def test_crowd_is_polled_scraped_and_measured() -> None:
    """The whole service runs with more buckets and with fewer, and every poll succeeds."""
    rows = crowd.compare(crowd.Size(buckets=6, fewer=3, seconds=0.1))
    figures = {row.what: row.here.value for row in rows}
    assert figures["failures"] == 0
    assert figures["start to first poll"] > 0
    assert [row.beside for row in rows if row.beside] == ["3 buckets"] * 2


def test_changes_of_all_buckets_are_measured() -> None:
    """Discovery at the start and a reload of everything both end, and take some time."""
    rows = changes.compare(changes.Size(buckets=6, found=8, accounts=4))
    assert {row.benchmark for row in rows} == {
        "discovery of 6",
        "reload, 6 renamed",
        "discovery of 8 in 4 accounts",
    }
    assert all(row.here.value > 0 for row in rows)


def test_client_library_shows_the_same_samples() -> None:
    """What stands beside a scrape shows exactly the samples of the exporter's page."""
    page = b"".join(sample.polled_targets(BUCKETS).render(sample.NOW.monotonic))
    registry = reference.registry(list(sample.readings(BUCKETS)), sample.STATUSES)
    assert samples(generate_latest(registry)) == samples(page)


def test_what_is_measured_loads_what_users_have() -> None:
    """Libraries load optional parts where they find them; none but the locked ones may count."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("COV")}
    printed = subprocess.check_output(
        [sys.executable, "-m", "tests.loaded"], cwd=ROOT, env=environ, text=True
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


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_table_shows_ratios() -> None:
    """A ratio is a factor, a part of one, or nothing where nothing runs beside it."""
    here = Quantity(2.0, "ms")
    rows = [
        Row("b", "w", here, "half", Quantity(1.0, "ms")),
        Row("b", "w", here, "much", Quantity(400.0, "ms"), "≤ 1/50"),
        Row("b", "w", here, "none", None),
    ]
    table = [[cell.strip() for cell in line.split("|")] for line in _lines(rows)]
    assert [line[4:8] for line in table] == [
        ["half", "1.00 ms", "2.00 x", ""],
        ["much", "400 ms", "1/200", "≤ 1/50"],
        ["none", "-", "-", ""],
    ]


def test_document_names_the_machine_but_not_its_place() -> None:
    """The document carries the table and the versions, and nothing of where it was written."""
    row = Row("b", "w", Quantity(1, "ms"), "other", Quantity(2, "ms"))
    text = document.performance([row], machine.description(date(2024, 1, 15)))
    assert rows_to_markdown([row]) in text
    assert "- date: 2024-01-15\n" in text
    assert str(document.PATH.parent) not in text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["nonsense"],
            "no such benchmark: nonsense; there are answer, poll, scrape, crowd, changes",
        ),
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


def shown(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """What was compared with what; each figure is one."""
    assert all(row.here.value >= 0 for row in rows)
    return [(row.what, row.beside) for row in rows]


def samples(page: bytes) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
    """Every sample of a page in the text format."""
    return {
        (found.name, tuple(sorted(found.labels.items())), found.value)
        for family in text_string_to_metric_families(page.decode())
        for found in family.samples
    }


def _lines(rows: list[Row]) -> list[str]:
    return rows_to_markdown(rows).splitlines()[2:]
