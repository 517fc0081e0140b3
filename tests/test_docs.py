"""The documentation says what the code does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from exporter.cli.commands import COMMANDS
from exporter.metrics.families import METRICS as TABLE
from exporter.metrics.render import (
    RenderedPreviousDay,
    previous_day_fragments,
    render_bucket,
    render_page,
)
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model import BucketState, DayStats, Instant, Label, Reason, Timing
from exporter.polling.collector import PollingCollector
from exporter.upstream.events import Attempt, Call
from tests.harness.fakes import NOON, bucket, failure, node, reading
from tests.polling.scheduled import manager

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
START = Instant(NOON, 0.0)
FOUND = node("h", version="1", status="ONLINE", uptime_ratio=1.0, last_updated=0.0)
CLOSED = RenderedPreviousDay(
    previous_day_fragments(bucket(), BucketState(START, previous_day=DayStats(START.day, (FOUND,))))
)


def rows(section: str) -> Iterator[list[str]]:
    """The cells of the first table in a section of docs/metrics.md, without its head."""
    text = PAGE.split(f"# {section}\n")[1]
    table = re.search(r"(\|.*\n)+", text)
    assert table is not None
    for line in table[0].splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def names(cell: str) -> list[str]:
    """What a cell has in code marks."""
    return re.findall(r"`([^`]+)`", cell)


def test_bucket_metrics_are_the_table_in_the_code() -> None:
    """The page lists exactly the families of the exposition, with their labels, in their order."""
    documented = [(names(row[0])[0], names(row[1])) for row in rows("Nodes and buckets")]
    own = "<the bucket's own labels>"
    assert documented == [
        (family.name, [label for label in family.labels if label != own]) for family in TABLE
    ]


def test_samples_carry_the_labels_of_their_family() -> None:
    """What is documented as a family's labels is what its samples have."""
    state = BucketState(START).after(reading(START, FOUND), Timing())
    failed = state.after(failure(START), Timing())
    for text in (render_bucket(bucket(), each, Timing(), ["ONLINE"]) for each in (state, failed)):
        for line in b"".join(render_page([text], [CLOSED], 0.0)).decode().splitlines():
            if not line.startswith("#"):
                name = line.split("{")[0]
                (family,) = (family for family in TABLE if family.name == name)
                labels = [label for label in family.labels if not label.startswith("<")]
                assert re.findall(r'(\w+)="', line) == labels


def test_own_metrics_are_the_registry() -> None:
    """The page lists exactly the exporter's own metrics, with types and labels."""
    self_metrics = SelfMetrics("1", "2", runtime_metrics=False)
    self_metrics.init_series("main", [Call.STATS])
    self_metrics.attempted(Attempt("main", Call.STATS, 200, None, 0.1))
    self_metrics.register(PollingCollector(manager(1)))
    self_metrics.watch_log(lambda: 0)
    in_code = {}
    for family in self_metrics.families():
        suffix = "_total" if family.type == "counter" else ""
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        in_code[family.name + suffix] = (family.type, labels)
    documented = {
        names(row[0])[0]: (row[1], set(names(row[2]))) for row in rows("The exporter itself")
    }
    assert documented == in_code


def test_every_reason_is_explained() -> None:
    """Each reason of the label has its row: what happened, what to do."""
    documented = [names(row[0])[0] for row in rows("Reasons")]
    assert documented == [reason.value for reason in Reason]


def test_series_formula_counts_the_series() -> None:
    """The documented formula gives what a bucket really exposes."""
    nodes = [
        node(
            f"h{number}",
            version="1",
            status="ONLINE",
            uptime_ratio=1.0,
            latency_average_seconds=1.0,
            latency_last_seconds=1.0,
            last_updated=1.0,
        )
        for number in range(6)
    ]
    statuses = ["ONLINE", "OFFLINE", "DISCONNECTED"]
    state = BucketState(START).after(reading(START, *nodes), Timing())
    closed = RenderedPreviousDay(
        previous_day_fragments(bucket(), replace(state, previous_day=state.stats))
    )
    for each, extra in ((state, 6), (state.after(failure(START), Timing()), 7)):
        text = render_bucket(bucket(), each, Timing(), statuses)
        lines = b"".join(render_page([text], [closed], 0.0)).decode().splitlines()
        series = [line for line in lines if not line.startswith("#")]
        assert len(series) == 6 * (7 + len(statuses) + 1) + extra


def test_every_dependency_has_its_reason() -> None:
    """The page lists exactly what pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"].values()
    asked = {
        re.split(r"[<>=]", each)[0]
        for each in project["project"]["dependencies"] + [one for group in groups for one in group]
        if isinstance(each, str)
    }
    page_text = (ROOT / "docs" / "dependencies.md").read_text()
    first_cells = re.findall(r"^\| (`.*?) \|", page_text, re.MULTILINE)
    listed = [name for cell in first_cells for name in names(cell)]
    assert sorted(listed) == sorted(asked)


def test_links_between_documents_lead_somewhere() -> None:
    """Each relative link in a document names a file that is there."""
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_readme_names_every_command_and_flag() -> None:
    """The README's table of flags is the program's."""
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (`--.*?) \|", readme, re.MULTILINE)
    flags = {name.removeprefix("--") for row in rows for name in names(row)}
    assert flags == {flag.name for flag in COMMANDS["run"].flags}


def test_promises_name_tests_that_exist() -> None:
    """Each test that docs/reliability.md names exists, also those without a path of their own."""
    text = (ROOT / "docs" / "reliability.md").read_text()
    place = ROOT
    for path, name in re.findall(r"`(tests/[\w/.]+)?(?:::(\w+))?`", text):
        place = ROOT / path if path else place
        assert place.exists(), path
        if name:
            assert f"def {name}(" in place.read_text(), name


def test_labels_are_those_that_a_bucket_may_not_have() -> None:
    """Every label of the exporter's metrics is forbidden to buckets, and no other name is."""
    self_metrics = SelfMetrics("1", "2", runtime_metrics=False)
    self_metrics.init_series("main", [Call.STATS])
    self_metrics.attempted(Attempt("main", Call.STATS, 200, None, 0.1))
    self_metrics.register(PollingCollector(manager(1)))
    families = [sample.labels for each in self_metrics.families() for sample in each.samples]
    own = {label for labels in families for label in labels} - {"le"}
    of_buckets = {label for each in TABLE for label in each.labels if not label.startswith("<")}
    assert own | of_buckets == set(Label)


def test_promises_are_listed_once() -> None:
    """No promise of docs/reliability.md has two rows."""
    text = (ROOT / "docs" / "reliability.md").read_text()
    rows = re.findall(r"^\| (\w[^|]+) \| `", text, re.MULTILINE)
    assert len(rows) > 30
    assert sorted(set(rows)) == sorted(rows)


def test_modules_of_the_architecture_exist() -> None:
    """Each package and module that docs/architecture.md names is in the source."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = re.findall(r"^\| `(\w+)/` \| [^|]+ \| (.+) \|$", text, re.MULTILINE)
    assert {package for package, _ in packages} == {
        folder.parent.name for folder in (ROOT / "exporter").glob("*/__init__.py")
    }
    named = [f"{package}/{name}.py" for package, cell in packages for name in names(cell)]
    named += re.findall(r"`(\w+(?:/\w+)?\.py)`", text)
    assert [each for each in named if not (ROOT / "exporter" / each).exists()] == []
