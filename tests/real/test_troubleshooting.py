"""The commands and queries of docs/troubleshooting.md find the symptoms that they are for."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from tests.harness.documents import HASH, examples, heading_above, queries
from tests.real.programs import check, started

PAGE = "docs/troubleshooting.md"
TOKEN_EXPIRY = "flashback_account_token_expiry_timestamp_seconds"
PAUSED = "flashback_account_paused_until_timestamp_seconds"
OF_EXPORTER = 'job="flashback-exporter",instance="a:10120"'
BUCKET = f'bucket_id="b1",{OF_EXPORTER}'
NODE = f'host="h",{BUCKET}'


QUERIES = queries(PAGE)
COMMANDS = {
    heading_above(each): each.text.strip()
    for each in examples("sh")
    if each.page == PAGE and "curl" in each.text
}

FOUND: dict[str, tuple[dict[str, str], Mapping[str, float]]] = {
    "Target down in Prometheus": ({f"up{{{OF_EXPORTER}}}": "0"}, {f"up{{{OF_EXPORTER}}}": 0}),
    "`flashback_bucket_up` is 0": (
        {
            f'flashback_bucket_failing{{reason="timeout",{BUCKET}}}': "1",
            f'flashback_bucket_info{{name="media",team="x",{BUCKET}}}': "1",
            f'flashback_bucket_info{{name="media",{BUCKET.replace("a:", "b:")}}}': "1",
        },
        {f'{{name="media",reason="timeout",{BUCKET}}}': 1},
    ),
    "401, expired token, MFA": (
        {f'{TOKEN_EXPIRY}{{account="m",{OF_EXPORTER}}}': "692400"},
        {f'{{account="m",{OF_EXPORTER}}}': 20},
    ),
    "No buckets discovered": (
        {
            f'flashback_account_discovery_up{{account="m",{OF_EXPORTER}}}': "1",
            f'flashback_account_discovery_up{{account="n",{OF_EXPORTER}}}': "0",
            f'flashback_account_discovered_buckets{{account="m",{OF_EXPORTER}}}': "0",
            f'flashback_account_discovered_buckets{{account="o",{OF_EXPORTER}}}': "7",
        },
        {
            f'flashback_account_discovery_up{{account="n",{OF_EXPORTER}}}': 0,
            f'flashback_account_discovered_buckets{{account="m",{OF_EXPORTER}}}': 0,
        },
    ),
    "Series vanish": (
        {f"flashback_bucket_last_success_timestamp_seconds{{{BUCKET}}}": "690600"},
        {f"{{{BUCKET}}}": 600},
    ),
    "Gaps after midnight UTC": (
        {f"flashback_bucket_stats_day_timestamp_seconds{{{BUCKET}}}": "604800"},
        {f"flashback_bucket_stats_day_timestamp_seconds{{{BUCKET}}}": 604800},
    ),
    "Duplicate or renamed labels": (
        {
            f'flashback_bucket_info{{exported_name="media",name="target",{BUCKET}}}': "1",
            f'flashback_bucket_info{{name="media",{BUCKET.replace("b1", "b2")}}}': "1",
            f'flashback_node_info{{exported_host="h",{BUCKET}}}': "1",
        },
        {
            f'flashback_bucket_info{{exported_name="media",name="target",{BUCKET}}}': 1,
            f'flashback_node_info{{exported_host="h",{BUCKET}}}': 1,
        },
    ),
    "Reload has no effect": (
        {f"flashback_exporter_config_last_reload_successful{{{OF_EXPORTER}}}": "0"},
        {f"flashback_exporter_config_last_reload_successful{{{OF_EXPORTER}}}": 0},
    ),
    "Late polls, rate limit": (
        {
            f"flashback_exporter_poll_lag_seconds{{{OF_EXPORTER}}}": "150",
            f'{PAUSED}{{account="m",{OF_EXPORTER}}}': "691230",
            f'{PAUSED}{{account="n",{OF_EXPORTER}}}': "691170",
        },
        {
            f"flashback_exporter_poll_lag_seconds{{{OF_EXPORTER}}}": 150,
            f'{PAUSED}{{account="m",{OF_EXPORTER}}}': 691230,
        },
    ),
    "High memory": (
        {
            f"process_resident_memory_bytes{{{OF_EXPORTER}}}": "8e7",
            f"scrape_samples_scraped{{{OF_EXPORTER}}}": "400",
        },
        {f"{{{OF_EXPORTER}}}": 200000},
    ),
    "Alerts do not fire, or have no team": (
        {
            f'flashback_bucket_info{{name="media",{BUCKET}}}': "1",
            f'flashback_bucket_info{{name="logs",team="x",{BUCKET.replace("b1", "b2")}}}': "1",
        },
        {
            '{job="flashback-exporter"}': 1,
            f'flashback_bucket_info{{name="media",{BUCKET}}}': 1,
        },
    ),
    "Backfilled days are not visible": (
        {f"flashback_node_uptime_previous_day_ratio{{{NODE}}}": "_ 0.99 0.98"},
        {f"{{{NODE}}}": 2},
    ),
}
"""For each query of the page: input series in promtool's notation, and the expected result."""

NOW = "8d"
"""When the queries are evaluated: 691200 as Unix time."""


def case(
    expression: str, series: dict[str, str], expected: Mapping[str, float]
) -> dict[str, object]:
    """A promtool unit test. A series that is given as a single value is constant."""
    inputs = [
        {"series": name, "values": value if " " in value else f"{value}+0x11520"}
        for name, value in series.items()
    ]
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    query = {"expr": expression, "eval_time": NOW, "exp_samples": samples}
    return {"interval": "1m", "input_series": inputs, "promql_expr_test": [query]}


def test_every_query_and_command_has_its_test() -> None:
    """Each query and command of the page has an entry here, and each entry is on the page."""
    assert QUERIES.keys() == FOUND.keys()
    assert COMMANDS.keys() == ANSWERED.keys()


@pytest.mark.parametrize("title", FOUND)
def test_query_finds_its_symptom(title: str, promtool_path: str, tmp_path: Path) -> None:
    """A query returns its symptom with the right labels, and without input series only absence."""
    series, expected = FOUND[title]
    without = {'{job="flashback-exporter"}': 1.0} if "absent" in QUERIES[title] else {}
    tests = [case(QUERIES[title], series, expected), case(QUERIES[title], {}, without)]
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"tests": tests}))
    check(promtool_path, "test", "rules", str(file))


ANSWERED = {
    "No node samples on `/metrics`": (
        "",
        r'^flashback_bucket_failing\{bucket_id="demo-backups",reason=',
    ),
    "The status page asks for a password": (
        f"basic_auth_users: {{prometheus: {HASH}}}",
        r"^www-authenticate: basic",
    ),
    "The pod is not ready": ("", r"flashback-exporter is (not )?ready"),
}
"""For each command: the exporter's web configuration, and a pattern that its output matches."""


@asynccontextmanager
async def exporter(web_config: str, folder: Path) -> AsyncIterator[str]:
    """Run a demo in which a bucket fails; yields its address."""
    file = folder / "web.yaml"
    file.write_text(web_config)
    flags = (f"--web.config.file={file}",) if web_config else ()
    scenario = "--scenario=not-found/share=1/bucket=demo-backups"
    command = (sys.executable, "-m", "exporter", "demo", "--web.listen-address=127.0.0.1:0")
    async with started(*command, scenario, *flags, log=folder / "demo.log") as process:
        await process.printed(r"event=(bucket_failing) ")
        yield await process.printed(r"^Metrics: +http://(\S+)/metrics$")


@pytest.mark.long
@pytest.mark.parametrize("title", ANSWERED)
async def test_command_shows_its_symptom(title: str, tmp_path: Path) -> None:
    """Each command, run against an exporter, prints what the page describes."""
    web_config, pattern = ANSWERED[title]
    async with exporter(web_config, tmp_path) as address:
        command = COMMANDS[title].replace("localhost:10120", address)
        shell = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", command, stdout=asyncio.subprocess.PIPE
        )
        printed = (await shell.communicate())[0].decode()
    assert re.search(pattern, printed, re.IGNORECASE | re.MULTILINE), printed
