"""The benchmarks run and say what they promise to; how fast anything is, is never asserted."""

from __future__ import annotations

from datetime import date

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import report, scrape
from benchmarks.command import BENCHMARKS, main
from benchmarks.report import Quantity, Row, rows_to_markdown


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
    """The document gets the table and the versions, keeps its words, and says nothing of where."""
    row = Row("b", "w", Quantity(1, "ms"), "other", Quantity(2, "ms"))
    before = report.PATH.read_text()
    text = report.renewed(before, [row], report.machine(date(2024, 1, 15)))
    assert rows_to_markdown([row]) in text
    assert text.count("\n| ") == 2
    assert text.partition("\n|")[0] == before.partition("\n|")[0]
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


def _samples(page: str) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
    return {
        (found.name, tuple(sorted(found.labels.items())), found.value)
        for family in text_string_to_metric_families(page)
        for found in family.samples
    }
