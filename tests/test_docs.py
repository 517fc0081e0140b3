"""The documentation matches the code."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import yaml

from exporter.cli.commands import COMMANDS
from exporter.config.schema import MAPPINGS, keys
from exporter.config.values import TARGET_LABELS
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
from exporter.upstream.events import NODE_FIELDS, RESPONSE_FIELDS, Attempt, Call, DriftKind
from exporter.web import config_format
from monitoring import settings
from monitoring.rendering import optional_groups_yaml, rendered
from tests.harness.documents import code_words, page_texts
from tests.harness.fakes import NOON, bucket, failure, node, reading
from tests.polling.scheduled import manager

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
START = Instant(NOON, 0.0)
FOUND = node("h", version="1", status="ONLINE", uptime_ratio=1.0, last_updated=0.0)
PREVIOUS_DAY = RenderedPreviousDay(
    previous_day_fragments(bucket(), BucketState(START, previous_day=DayStats(START.day, (FOUND,))))
)


def rows(section: str) -> Iterator[list[str]]:
    """The cells of the first table in a section of docs/metrics.md, without its header."""
    text = PAGE.split(f"# {section}\n")[1]
    table = re.search(r"(\|.*\n)+", text)
    assert table is not None
    for line in table[0].splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def names(cell: str) -> list[str]:
    """The texts in code marks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def test_bucket_metrics_are_the_table_in_the_code() -> None:
    """docs/metrics.md lists exactly the bucket metrics, with their labels and in their order."""
    documented = [(names(row[0])[0], names(row[1])) for row in rows("Nodes and buckets")]
    own = "<the bucket's own labels>"
    assert documented == [
        (family.name, [label for label in family.labels if label != own]) for family in TABLE
    ]


def test_samples_carry_the_labels_of_their_family() -> None:
    """The samples of each bucket metric have exactly its documented labels."""
    state = BucketState(START).after(reading(START, FOUND), Timing())
    failed = state.after(failure(START), Timing())
    for text in (render_bucket(bucket(), each, Timing(), ["ONLINE"]) for each in (state, failed)):
        for line in b"".join(render_page([text], [PREVIOUS_DAY], 0.0)).decode().splitlines():
            if not line.startswith("#"):
                name = line.split("{")[0]
                (family,) = (family for family in TABLE if family.name == name)
                labels = [label for label in family.labels if not label.startswith("<")]
                assert re.findall(r'(\w+)="', line) == labels


def test_own_metrics_are_the_registry() -> None:
    """docs/metrics.md lists exactly the exporter's own metrics, with types and labels."""
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
    """docs/metrics.md has a row for each value of the label `reason`, in order."""
    documented = [names(row[0])[0] for row in rows("Reasons")]
    assert documented == [reason.value for reason in Reason]


def test_series_formula_counts_the_series() -> None:
    """The documented formula gives the number of series of a bucket."""
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
    """A runtime dependency has its reason in docs/dependencies.md, a tool in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)
    required = {re.split(r"[<>=]", each)[0] for each in project["project"]["dependencies"]}
    page_text = (ROOT / "docs" / "dependencies.md").read_text()
    first_cells = re.findall(r"^\| (`.*?) \|", page_text, re.MULTILINE)
    assert sorted(name for cell in first_cells for name in names(cell)) == sorted(required)
    for group in project["dependency-groups"].values():
        for tool in group:
            if isinstance(tool, str):
                assert re.search(rf'^  "{re.escape(tool)}", # \w', text, re.MULTILINE), tool


def test_links_between_documents_lead_somewhere() -> None:
    """Each relative link in a document leads to an existing file."""
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_every_command_and_flag_is_documented() -> None:
    """docs/command-line.md lists all commands, and all flags of `run`."""
    page = (ROOT / "docs" / "command-line.md").read_text()
    rows = re.findall(r"^\| (`--.*?) \|", page, re.MULTILINE)
    flags = {name.removeprefix("--") for row in rows for name in names(row)}
    assert flags == {flag.name for flag in COMMANDS["run"].flags}
    commands = re.findall(r"^\| `flashback-exporter \[?(\w+)\]?` \|", page, re.MULTILINE)
    assert sorted(commands) == sorted(COMMANDS)


def test_promises_name_tests_that_exist() -> None:
    """Each test that docs/reliability.md names exists."""
    text = (ROOT / "docs" / "reliability.md").read_text()
    place = ROOT
    for path, name in re.findall(r"`(tests/[\w/.]+)?(?:::(\w+))?`", text):
        place = ROOT / path if path else place
        assert place.exists(), path
        if name:
            assert f"def {name}(" in place.read_text(), name


def test_labels_are_those_that_a_bucket_may_not_have() -> None:
    """The labels that buckets may not have are exactly the labels of the exporter's metrics."""
    self_metrics = SelfMetrics("1", "2", runtime_metrics=False)
    self_metrics.init_series("main", [Call.STATS])
    self_metrics.attempted(Attempt("main", Call.STATS, 200, None, 0.1))
    self_metrics.register(PollingCollector(manager(1)))
    families = [sample.labels for each in self_metrics.families() for sample in each.samples]
    own = {label for labels in families for label in labels} - {"le"}
    of_buckets = {label for each in TABLE for label in each.labels if not label.startswith("<")}
    assert own | of_buckets == set(Label)


def test_promises_are_listed_once() -> None:
    """Each promise in docs/reliability.md has only one row."""
    text = (ROOT / "docs" / "reliability.md").read_text()
    rows = re.findall(r"^\| (\w[^|]+) \| `", text, re.MULTILINE)
    assert len(rows) > 30
    assert sorted(set(rows)) == sorted(rows)


def test_modules_of_the_architecture_exist() -> None:
    """Each package and module that docs/architecture.md names exists."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = re.findall(r"^\| `(\w+)/` \| [^|]+ \| (.+) \|$", text, re.MULTILINE)
    assert {package for package, _ in packages} == {
        folder.parent.name for folder in (ROOT / "exporter").glob("*/__init__.py")
    }
    named = [f"{package}/{name}.py" for package, cell in packages for name in names(cell)]
    named += re.findall(r"`(\w+(?:/\w+)?\.py)`", text)
    assert [each for each in named if not (ROOT / "exporter" / each).exists()] == []


UNRELEASED = (ROOT / "CHANGELOG.md").read_text().split("\n## Unreleased\n")[1].split("\n## ")[0]

OF_THE_CHART = {"docs/kubernetes.md", "helm/flashback-exporter/README.md"}
"""Pages on which `global` is a key of the chart."""

OF_OTHERS = {
    "a label of the user's": {"bucket_namespace"},
    "Alertmanager": {
        "group_by",
        "group_interval",
        "group_wait",
        "inhibit_rules",
        "repeat_interval",
    },
    "blackbox_exporter": {"probe_ssl_earliest_cert_expiry"},
    "Grafana's sidecar": {"grafana_dashboard"},
    "httpx": {"httpx_aiohttp"},
    "node_exporter": {"node_textfile_mtime_seconds"},
    "openssl": {"s_client"},
    "Prometheus": {
        *("basic_auth", "bearer_token_file", "group_left", "group_right", "honor_labels"),
        *("http_sd_configs", "metric_relabel_configs", "params", "relabel_configs", "rule_files"),
        *("scrape_configs", "scrape_interval", "scrape_timeout", "static_configs", "tls_config"),
        *("metrics_path", "scrape_samples_scraped", "keep_firing_for", "runbook_url"),
        "prometheus_tsdb_head_min_time_seconds",
    },
    "this project's tests": {"virtual_time"},
    "VictoriaMetrics": {"extra_label"},
}
"""Names in code marks that belong to other programs, by program."""

FORMER = {
    "FlashbackNodeErrorBudgetBurnFast": "the changelog says what it is called now",
    "FlashbackNodeClosedDayUnderTarget": "the changelog says what it is called now",
    "closed_day_missing": "the changelog says what it is called now",
    "fewer_nodes_for": "the changelog says what it is called now",
}
"""Removed names, and why they are still mentioned."""

FLAGS_OF_OTHERS = {
    "cosign": {"certificate-identity"},
    "docker": {"build", "detach", "rm", "signal", "volumes"},
    "helm": {"api-versions", "reset-then-reuse-values", "reuse-values", "set", "values"},
    "kubectl": {"force", "grace-period", "previous"},
    "pip": {"require-hashes", "upgrade"},
    "prometheus": {"storage.tsdb.retention.time", "rules.alert.resend-delay"},
    "promtool": {"end", "max-block-duration", "output-dir", "start", "url"},
    "pytest": {"randomly-seed"},
}
"""Flags in code marks that belong to other programs, by program."""


def marked() -> Iterator[tuple[str, str]]:
    """The page and text of everything in code marks, in the pages and the unreleased changes."""
    yield from code_words()
    yield from (("CHANGELOG.md", word) for word in names(UNRELEASED))


def in_tables(page: str) -> set[str]:
    """The names in the tables of a page that another test compares with the code."""
    text = (ROOT / "docs" / page).read_text()
    return {name for row in re.findall(r"^\|.*", text, re.MULTILINE) for name in names(row)}


def yaml_keys(value: object) -> set[str]:
    """The keys of a document, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*map(yaml_keys, value.values()))
    return set().union(*map(yaml_keys, value)) if isinstance(value, list) else set()


def own_names() -> set[str]:
    """All names that users see: events, metrics, labels, keys, settings, values and modules."""
    rule_texts = [*rendered().values(), optional_groups_yaml()]
    rule_files = [yaml.safe_load(re.sub(r"\{\{.*?\}\}", "0", text)) for text in rule_texts[:-1]]
    client = {
        family.name + suffix
        for family in SelfMetrics("1", "2", runtime_metrics=True).families()
        for suffix in ("", "_total")
    }
    return {
        *in_tables("log-events.md"),
        *in_tables("metrics.md"),
        *(key for mapping in MAPPINGS for key in keys(mapping)),
        *map(str, [*Label, *Reason, *DriftKind, *Call, *TARGET_LABELS]),
        *RESPONSE_FIELDS,
        *NODE_FIELDS,
        *config_format.TOP_KEYS,
        *config_format.HTTP_KEYS,
        *config_format.TLS_KEYS,
        config_format.RATE_LIMIT,
        *yaml_keys(yaml.safe_load(settings.FILE.read_text())),
        *(name for file in rule_files for name in yaml_keys(file)),
        *yaml_keys(json.loads((ROOT / "docs" / "status.schema.json").read_text())),
        *re.findall(r"(\w+):", (ROOT / "helm/flashback-exporter/values.yaml").read_text()),
        *(path.stem for path in (ROOT / "exporter").rglob("*.py")),
        *client,
    }


def test_names_that_pages_mark_exist() -> None:
    """Each event, metric, label, key, setting or module in code marks exists."""
    known = own_names().union(FORMER, *OF_OTHERS.values())
    found = {
        (page, name)
        for page, code in marked()
        for name in re.findall(r"(?<![\w./$:-])[a-z]+(?:_[a-z0-9]+)+(?![\w/:(])", code)
        if not name.startswith(("test_", "flashback_json", "flashback_cron"))
    }
    assert sorted((page, name) for page, name in found if name not in known) == []
    assert {"config_reload_failed", "poll_interval"} <= {name for _, name in found}


def test_keys_that_pages_place_exist() -> None:
    """A key written with its mapping, such as `global.base_url`, exists in that mapping."""
    found = {
        (page, mapping, key)
        for page, code in marked()
        for mapping, key in re.findall(r"(?<![\w/])(?:\w+\.)*(\w+)(?:\[\d*\])?\.(\w+)$", code)
        if mapping in MAPPINGS and page not in OF_THE_CHART
    }
    assert found
    assert [each for each in sorted(found) if each[2] not in keys(each[1])] == []


def test_alerts_that_pages_name_exist() -> None:
    """Each alert that a page names exists, enabled by default or optional."""
    rules = "".join([*rendered().values(), optional_groups_yaml()])
    alerts = set(re.findall(r"^ *- alert: (\w+)", rules, re.MULTILINE))
    assert len(alerts) > 30
    found = {
        (page, name)
        for page, text in (*page_texts(), ("CHANGELOG.md", UNRELEASED))
        for name in re.findall(r"\bFlashback[A-Z]\w+", text)
    }
    assert [each for each in sorted(found) if each[1] not in alerts.union(FORMER)] == []


def test_flags_that_pages_mark_exist() -> None:
    """Each flag in code marks is a flag of the exporter, of a module here, or listed above."""
    known = {flag.name for command in COMMANDS.values() for flag in command.flags} | {"version"}
    known |= set().union(*FLAGS_OF_OTHERS.values(), *map(flags_of, ("monitoring", "tests")))
    found = {
        (page, name)
        for page, code in marked()
        for name in re.findall(r"(?<![\w-])--([a-z][a-z.-]*[a-z])", code)
    }
    assert [each for each in sorted(found) if each[1] not in known] == []


def flags_of(folder: str) -> set[str]:
    """The flags that the modules of a folder define."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.Call) and re.search(
                "add_?(argument|option)$", ast.unparse(each.func)
            ):
                found |= set(re.findall(r"^'--([\w-]+)'$", ast.unparse(each.args[0])))
    return found


def test_variables_that_the_changelog_names_exist() -> None:
    """Each environment variable in the unreleased changes belongs to a flag."""
    known = {flag.variable for command in COMMANDS.values() for flag in command.flags}
    assert set(re.findall(r"FLASHBACK_EXPORTER_[A-Z_]*[A-Z]", UNRELEASED)) <= known


GENERATED = {"compatibility.md", "configuration.md"}
MOST_WORDS = 18_000


def test_documentation_stays_short() -> None:
    """README and the hand-written pages together have at most `MOST_WORDS` words."""
    pages = [page for page in ROOT.glob("docs/*.md") if page.name not in GENERATED]
    words = {
        page.name: sum(1 for word in page.read_text().split() if re.search("[A-Za-z]", word))
        for page in [ROOT / "README.md", *pages]
    }
    assert sum(words.values()) <= MOST_WORDS, dict(sorted(words.items(), key=lambda each: -each[1]))
