"""Which modules each command imports; short commands import little and start fast."""

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
"""Modules that a command with scenarios imports, to list them."""


def loaded(*arguments: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    script = SCRIPT.format(arguments=list(arguments))
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(ended.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", ["--version", "-h", *(f"{name} -h" for name in COMMANDS)])
def test_who_only_asks_for_help_loads_little(words: str) -> None:
    """Help and --version import neither the libraries nor asyncio, which take most of a second."""
    name, *_ = words.split()
    plays_scenarios = name in COMMANDS and COMMANDS[name].plays_scenarios
    assert not (HEAVY if plays_scenarios else HEAVY | LESS_HEAVY) & loaded(*words.split())


def test_a_check_makes_no_connections(config: Path) -> None:
    """`check` without --live imports no HTTP library."""
    web = config.with_name("web.yaml")
    web.write_text("http_server_config: {http2: false}\n")
    modules = loaded("check", f"--config.file={config}", f"--web.config.file={web}")
    assert "exporter.cli.load_estimate" in modules
    assert not {"aiohttp", "httpx", "exporter.simulator", "exporter.backfill"} & modules


def test_run_loads_no_other_command() -> None:
    """`run` imports neither the simulator nor backfill.

    The template engine and bcrypt are imported only when needed.
    """
    modules = loaded("run", "--config.file=/none")
    assert "exporter.app" in modules
    assert not {"exporter.simulator", "exporter.backfill", "jinja2", "bcrypt"} & modules
