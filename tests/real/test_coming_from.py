"""The examples of docs/coming-from.md, checked with the programs that read them.

json_exporter itself is not among them: its configuration is checked for keys that it knows and for
fields that the API has.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter import simulator
from exporter.config import parse
from exporter.simulator.server import serve
from exporter.upstream.events import NODE_FIELDS
from tests.real.databases import prometheus
from tests.real.programs import TIMEOUTS, program, until

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text()
BUCKETS = {"65f1c0ffee", "65f1c0ffef"}

MODULE_KEYS = {"headers", "metrics", "http_client_config", "body", "valid_status_codes"}
METRIC_KEYS = {"name", "path", "labels", "type", "valuetype", "epochTimestamp", "help", "values"}
"""The keys that json_exporter has had since its version 0.5."""


def blocks(language: str, start: str = "") -> list[str]:
    """The examples of a language that start with some text, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
    texts = [re.sub(f"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]
    return [text for text in texts if text.startswith(start)]


async def said(*command: str, given: Mapping[str, str] | None = None) -> tuple[int | None, str]:
    """The exit code of a command, and everything that it prints; `given` is its environment."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=STDOUT, env={**os.environ, **(given or {})}
    )
    async with asyncio.timeout(TIMEOUTS):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


def test_own_configuration_is_one() -> None:
    """The example of this exporter's configuration is valid."""
    (text,) = blocks("yaml", "# config.yaml")
    (account,) = parse(text, path=Path("config.yaml"), environ={}).accounts
    assert {bucket.id for bucket in account.buckets} == BUCKETS


def json_exporter_module() -> dict[str, Any]:
    """The only module of the example for json_exporter."""
    (text,) = blocks("yaml", "# json_exporter.yml")
    (module,) = yaml.safe_load(text)["modules"].values()
    return dict(module)


def test_json_exporter_would_know_every_key() -> None:
    """The example uses keys of json_exporter's format, with values of the right kind."""
    module = json_exporter_module()
    assert set(module) <= MODULE_KEYS
    assert set(module["body"]) == {"content", "templatize"}
    for metric in module["metrics"]:
        assert set(metric) <= METRIC_KEYS
        assert (metric["type"], metric["valuetype"]) == ("object", "gauge")
        assert re.fullmatch("[a-z_]+", metric["name"])


def test_json_exporter_takes_fields_that_there_are() -> None:
    """Each JSONPath of the example names a field of the API's response."""
    for metric in json_exporter_module()["metrics"]:
        assert metric["path"] == "{ .nodeStats[*] }"
        for path in [*metric["labels"].values(), *metric["values"].values()]:
            found = re.fullmatch(r"\{ \.(\w+) \}", str(path))
            assert path == 1 or (found and found[1] in NODE_FIELDS)


@pytest.mark.parametrize("text", blocks("yaml", "# prometheus.yml"), ids=["here", "there"])
async def test_prometheus_takes_the_scrape_configurations(
    promtool_path: str, tmp_path: Path, text: str
) -> None:
    """Both examples for Prometheus are valid."""
    file = tmp_path / "prometheus.yml"
    file.write_text(text)
    code, output = await said(promtool_path, "check", "config", str(file))
    assert code == 0, output


async def test_probes_go_to_the_right_place(prometheus_path: str, tmp_path: Path) -> None:
    """With the example, Prometheus probes each bucket's address through json_exporter."""
    (config,) = yaml.safe_load(blocks("yaml", "# prometheus.yml")[1])["scrape_configs"]
    (listed,) = config["static_configs"]
    how = {key: config[key] for key in ("metrics_path", "params", "relabel_configs")}
    targets = {f"job-{bucket}": bucket for bucket in listed["targets"]}
    async with prometheus(prometheus_path, tmp_path, targets, "1s", how) as database:

        async def ask() -> list[Any] | None:
            found: list[Any] = (await database.get("targets"))["activeTargets"]
            return found if len(found) == len(BUCKETS) else None

        found = await until(ask)
    assert {each["labels"]["bucket_id"] for each in found} == BUCKETS
    for each in found:
        bucket = each["labels"]["bucket_id"]
        assert each["scrapeUrl"] == (
            "http://localhost:7979/probe?module=flashback&target="
            f"https%3A%2F%2Fbackend.flashback.tech%2Fbucket%2F{bucket}%2Fstats"
        )


async def test_old_names_are_rules(promtool_path: str, tmp_path: Path) -> None:
    """The recording rules that keep old names are valid, and the page's queries are PromQL."""
    (text,) = blocks("yaml", "# old-names.yaml")
    file = tmp_path / "old-names.yaml"
    file.write_text(text)
    code, output = await said(promtool_path, "check", "rules", "--lint-fatal", str(file))
    assert code == 0, output
    for query in blocks("promql"):
        promql_parser.parse(query)


async def test_script_writes_what_the_api_says(tmp_path: Path) -> None:
    """The cron script, run against the simulator, writes a valid file with each node's figures."""
    shell, _, _ = program("sh"), program("curl"), program("jq")
    (text,) = blocks("sh")
    script, token = tmp_path / "flashback-textfile", tmp_path / "token"
    script.write_text(text)
    token.write_text("t0\n")
    api = simulator.Simulator(now=time.time, tokens={"t0"})  # the script requests today's data
    async with serve(api) as url:
        given = {"FLASHBACK_API": url, "TOKEN_FILE": str(token), "TEXTFILE_FOLDER": str(tmp_path)}
        code, output = await said(shell, str(script), given=given)
    assert (code, output) == (0, "")
    families = text_string_to_metric_families((tmp_path / "flashback.prom").read_text())
    samples = {
        (sample.name, sample.labels["bucket_id"], sample.labels["host"]): sample.value
        for family in families
        for sample in family.samples
    }
    assert len(samples) == 3 * 6 * len(BUCKETS)
    for bucket in BUCKETS:
        served = api.record.newest(bucket)
        assert served is not None
        for row in served.rows:
            host, uptime = str(row["host"]), row["perc_uptime"]
            assert isinstance(uptime, int | float)
            assert samples["flashback_cron_uptime_ratio", bucket, host] == uptime / 100
            online = row["node_status"] == "ONLINE"
            assert samples["flashback_cron_online", bucket, host] == online
