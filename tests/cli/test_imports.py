"""What a command loads: no more than it uses, so that a short one is short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.cli.commands import COMMANDS
from tests.harness.documents import ROOT

SCRIPT = """\
import sys
sys.argv = ["flashback-exporter", *{arguments}]
from exporter.cli import run_command
try:
    run_command()
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""
HEAVY = {"aiohttp", "httpx", "pydantic", "jinja2", "exporter.backfill"}
LESS_HEAVY = {"asyncio", "structlog"}
"""What the simulator takes, which lists its own scenarios."""


def loaded(*arguments: str) -> set[str]:
    """The modules that a command has loaded at its end."""
    script = SCRIPT.format(arguments=list(arguments))
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(ended.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", ["--version", "-h", *(f"{name} -h" for name in COMMANDS)])
def test_who_only_asks_for_help_loads_little(words: str) -> None:
    """Neither the libraries nor asyncio, which take most of a second."""
    name, *_ = words.split()
    plays_scenarios = name in COMMANDS and COMMANDS[name].plays_scenarios
    assert not (HEAVY if plays_scenarios else HEAVY | LESS_HEAVY) & loaded(*words.split())


def test_a_check_makes_no_connections(config: Path) -> None:
    """Without --live it loads no HTTP library, from the flags to the verdict."""
    web = config.with_name("web.yaml")
    web.write_text("http_server_config: {http2: false}\n")
    modules = loaded("check", f"--config.file={config}", f"--web.config.file={web}")
    assert "exporter.cli.load_estimate" in modules
    assert not {"aiohttp", "httpx", "exporter.simulator", "exporter.backfill"} & modules


def test_run_loads_no_other_command() -> None:
    """Neither the simulator nor a backfill is part of the exporter at work.

    What draws pages comes with the first page, what checks passwords with a web configuration.
    """
    modules = loaded("run", "--config.file=/none")
    assert "exporter.app" in modules
    assert not {"exporter.simulator", "exporter.backfill", "jinja2", "bcrypt"} & modules
