"""The format of a day's file, for any content."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from exporter.backfill.day import DayFile, label_suffix
from exporter.metrics.families import PREVIOUS_DAY
from exporter.model import Node
from tests.backfill.runs import LATENCY, UPTIME, samples
from tests.harness.fakes import node

# Parsing and configuration allow any text but NUL, lone surrogates, and line ends other than
# LF.
UNFIT = "\0\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
texts = some.text(some.characters(codec="utf-8", exclude_characters=UNFIT), max_size=20)
figures = some.none() | some.floats(0, 1e300)
nodes = some.builds(
    Node, ip=texts, host=texts, uptime_ratio=figures, latency_average_seconds=figures
)
rows = some.lists(nodes, unique_by=lambda each: each.identity, max_size=5)
buckets = some.dictionaries(texts.filter(bool), rows, max_size=5)
suffixes = some.dictionaries(some.sampled_from(["job", "instance", "team"]), texts)
TIMES = range(1705320000, 1705320000 + 3 * 240, 240)


def written(
    scratch: Path, content: dict[str, Sequence[Node]], suffix: str = "", times: range = TIMES
) -> str:
    """The text of a file with these buckets and nodes."""
    with DayFile(scratch, suffix) as file:
        for bucket, each in content.items():
            file.add(bucket, each, times)
        return asyncio.run(file.joined()).read_bytes().decode()


@settings(deadline=None)  # it writes to the disk, on a machine that may be busy
@given(buckets, suffixes)
def test_every_file_is_openmetrics(content: dict[str, list[Node]], extra: dict[str, str]) -> None:
    """The client library's strict parser finds exactly the written samples, in order."""
    with TemporaryDirectory() as scratch:
        text = written(Path(scratch), dict(content), label_suffix(extra))
    expected = [
        (figure.name, {"bucket_id": bucket, "ip": each.ip, "host": each.host, **extra}, value, at)
        for figure in PREVIOUS_DAY
        for bucket, rows_of_bucket in content.items()
        for each in rows_of_bucket
        if (value := figure.value_of(each)) is not None
        for at in TIMES
    ]
    assert samples(text) == expected
    assert text.endswith("# EOF\n")


def test_golden_file(tmp_path: Path) -> None:
    """Samples are ordered by metric, then node, then time."""
    times = range(1705320000, 1705320000 + 2 * 240, 240)
    content = {
        "b1": [node("h1", uptime_ratio=1.0, latency_average_seconds=0.042)],
        "b2": [node("h2", uptime_ratio=0.5)],
    }
    text = written(tmp_path, dict(content), ',job="x"', times)
    polled = "Polled in the background, not on scrape."
    assert text == (
        f"# HELP {UPTIME} Final share of the previous UTC day that the node was online,"
        f" from 0 to 1. {polled}\n"
        f"# TYPE {UPTIME} gauge\n"
        f'{UPTIME}{{bucket_id="b1",ip="192.0.2.1",host="h1",job="x"}} 1.0 1705320000\n'
        f'{UPTIME}{{bucket_id="b1",ip="192.0.2.1",host="h1",job="x"}} 1.0 1705320240\n'
        f'{UPTIME}{{bucket_id="b2",ip="192.0.2.1",host="h2",job="x"}} 0.5 1705320000\n'
        f'{UPTIME}{{bucket_id="b2",ip="192.0.2.1",host="h2",job="x"}} 0.5 1705320240\n'
        f"# HELP {LATENCY} Final average latency of the node over the previous UTC day in seconds."
        f" {polled}\n"
        f"# TYPE {LATENCY} gauge\n"
        f'{LATENCY}{{bucket_id="b1",ip="192.0.2.1",host="h1",job="x"}} 0.042 1705320000\n'
        f'{LATENCY}{{bucket_id="b1",ip="192.0.2.1",host="h1",job="x"}} 0.042 1705320240\n'
        "# EOF\n"
    )


def test_metric_without_samples_is_not_named(tmp_path: Path) -> None:
    """A metric without samples has no HELP and TYPE lines."""
    text = written(tmp_path, {"b1": [node(latency_average_seconds=0.5)]})
    assert UPTIME not in text
    assert len(samples(text)) == 3


def test_whether_there_was_anything_is_told(tmp_path: Path) -> None:
    """add() returns whether it wrote samples; nodes without figures write none."""
    with DayFile(tmp_path, "") as file:
        assert not file.add("b1", [node()], TIMES)
        assert not file.add("b1", [], TIMES)
        assert not file.add("b1", [node(uptime_ratio=1.0)], range(0))
        assert file.add("b1", [node(uptime_ratio=1.0)], TIMES)


def test_large_file_is_joined_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining a file in small pieces gives the same file."""
    content = {
        f"b{number}": [node(uptime_ratio=0.5, latency_average_seconds=0.1)] for number in range(50)
    }
    whole = written(tmp_path, dict(content))
    monkeypatch.setattr("exporter.backfill.day.CHUNK", 7)
    assert written(tmp_path, dict(content)) == whole
