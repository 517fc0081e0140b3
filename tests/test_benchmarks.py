"""The benchmarks run and print their results; their speed is not tested."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import scrape
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.table import Row, rows_to_markdown


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("poll", ["plain httpx", "bare aiohttp"]),
        ("scrape", ["text", "text, gzip", "gzip, one Prometheus"]),
        ("service", ["most delayed poll", "memory", "slowest first byte of a scrape"]),
        ("discovery", ["discovery of 20", "discovery of 20 in 4 accounts"]),
        ("reload", ["until the response", "longest event loop block: CPU"]),
        ("small", ["start to ready", "memory"]),
        ("commands", ["--version", "-h", "check, ten buckets", "start to ten buckets' samples"]),
        ("basic-auth", ["5 right and 5 wrong passwords"]),
    ],
)
def test_each_benchmark_runs(
    name: str, figures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each benchmark ends by itself, and its figures are in the table."""
    main(["--quick", name])
    cells = {cell.strip() for cell in capsys.readouterr().out.split("|")}
    assert set(figures) <= cells


def test_client_library_shows_the_same_samples() -> None:
    """The benchmark's client library baseline renders the same samples as the exporter."""
    page = b"".join(scrape.polled_targets(3).render(scrape.NOW.monotonic)).decode()
    shown = generate_latest(scrape.library_registry(page)).decode()
    assert _samples(shown) == _samples(page)


def test_table_shows_ratios() -> None:
    """The table shows a ratio as a factor or a fraction, or nothing without a baseline."""
    rows = [
        Row("b", "w", "ms", 0.002, "half", 0.001),
        Row("b", "w", "ms", 0.002, "much", 0.4, "≤ 1/50"),
        Row("b", "w", "ms", 0.002),
    ]
    lines = rows_to_markdown(rows).splitlines()[2:]
    assert [[cell.strip() for cell in line.split("|")][4:8] for line in lines] == [
        ["half", "1.00 ms", "2.00 x", ""],
        ["much", "400 ms", "1/200", "≤ 1/50"],
        ["-", "-", "-", ""],
    ]


def test_unknown_benchmark_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown benchmark is a usage error that lists the existing names."""
    with pytest.raises(SystemExit, match="2"):
        main(["nonsense"])
    problem = f"no such benchmark: nonsense; there are {', '.join(BENCHMARKS)}"
    assert problem in capsys.readouterr().err


def _samples(page: str) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
    return {
        (found.name, tuple(sorted(found.labels.items())), found.value)
        for family in text_string_to_metric_families(page)
        for found in family.samples
    }
