"""The systemd unit: checks by systemd, and a run with its restrictions.

systemd is not process 1 here, so the unit is not started. Instead, podman applies the unit's
system call filter to the image.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.cli import flags
from exporter.cli.commands import COMMANDS
from exporter.config import load
from exporter.config.settings import Login
from tests.harness.scrapes import Scrape
from tests.real.image.engine import engine_here
from tests.real.programs import program

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "flashback-exporter.service"
CONFIG = UNIT.with_name("config.example.yaml")
PAGE = ROOT / "docs" / "systemd.md"

ALLOWED = "SCMP_ACT_ALLOW"
MASKED = "SCMP_CMP_MASKED_EQ"
WRITE, EXECUTE = 2, 4  # PROT_WRITE, PROT_EXEC
PROTECTION = 2  # the argument of mmap and mprotect with the protection
EPERM = 1


@pytest.fixture(scope="session")
def analyze() -> str:
    """The path of systemd-analyze."""
    return program("systemd-analyze")


def said(*command: str) -> tuple[int, str]:
    """A command's exit code, and its output on both streams."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def lines_of(text: str) -> list[tuple[str, str]]:
    """The settings of a unit in order, including repeated ones."""
    return re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)


def test_unit_is_one_that_systemd_understands(analyze: str, tmp_path: Path) -> None:
    """All settings of the unit are known to systemd, given that the program is installed."""
    unit = tmp_path / UNIT.name
    path = re.search(r"^ExecStart=(\S+)", UNIT.read_text(), re.MULTILINE)
    assert path is not None
    unit.write_text(UNIT.read_text().replace(path[1], "/bin/true"))
    assert said(analyze, "verify", "--man=no", str(unit)) == (0, "")


def test_exposure_is_as_documented(analyze: str) -> None:
    """The unit's exposure score is no worse than the documented one."""
    stated = re.search(r"exposure score of \*\*(\d+\.\d)\*\*", PAGE.read_text())
    assert stated is not None
    threshold = f"--threshold={round(float(stated[1]) * 10)}"
    code, report = said(analyze, "security", "--offline=true", "--no-pager", threshold, str(UNIT))
    assert code == 0, report


def test_example_takes_its_secret_from_the_units_credential(tmp_path: Path) -> None:
    """The example's password file is the credential that the unit loads."""
    settings = lines_of(UNIT.read_text())
    (name,) = (value.partition(":")[0] for key, value in settings if key == "LoadCredential")
    (account,) = load(CONFIG, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).accounts
    assert account.credentials == Login("ops@example.com", tmp_path / name)


def test_flags_of_the_defaults_file_win() -> None:
    """The ARGS on the page are valid flags, and come after those of the unit."""
    settings = lines_of(UNIT.read_text())
    (start,) = (shlex.split(value) for key, value in settings if key == "ExecStart")
    sources = [value for key, value in settings if key.startswith("Environment")]
    assert sources == ["ARGS=", "-/etc/default/flashback-exporter"]
    (args,) = re.findall(r'^    ARGS="(.+)"$', PAGE.read_text(), re.MULTILINE)
    assert start.pop() == "$ARGS"
    more = [*shlex.split(args), "--config.file=/srv/other.yaml"]
    values = flags.parse(
        flags.parser("run", ""), COMMANDS["run"].flags, [*start[1:], *more], {"ARGS": args}
    )
    assert values["config.file"] == Path("/srv/other.yaml")
    assert values["web.config.file"] == Path("/etc/flashback-exporter/web.yaml")


def set_members(analyze: str, name: str) -> Iterator[str]:
    """The system calls of a systemd set, including nested sets."""
    code, listed = said(analyze, "--no-pager", "syscall-filter", name)
    assert code == 0, listed
    for word in (line.strip() for line in listed.splitlines()[1:]):
        if word.startswith("@"):
            yield from set_members(analyze, word)
        elif word and not word.startswith("#"):
            yield word


def allowed_calls(analyze: str) -> set[str]:
    """The system calls that the unit's filters allow, applied in order."""
    allowed: set[str] = set()
    for value in (value for key, value in lines_of(UNIT.read_text()) if key == "SystemCallFilter"):
        for word in value.removeprefix("~").split():
            calls = set(set_members(analyze, word)) if word.startswith("@") else {word}
            allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


def protecting(call: str, bits: int, value: int) -> dict[str, Any]:
    """A rule that allows a call if these bits of its protection argument have this value."""
    argument = {"index": PROTECTION, "value": bits, "valueTwo": value, "op": MASKED}
    return {"names": [call], "action": ALLOWED, "args": [argument]}


def seccomp_profile(analyze: str) -> dict[str, Any]:
    """The unit's SystemCallFilter and MemoryDenyWriteExecute as a seccomp profile for podman."""
    calls = allowed_calls(analyze) - {"mmap", "mprotect", "pkey_mprotect"}
    mmap = [protecting("mmap", WRITE | EXECUTE, value) for value in (0, WRITE, EXECUTE)]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "syscalls": [
            {"names": sorted(calls), "action": ALLOWED},
            *mmap,
            protecting("mprotect", EXECUTE, 0),
        ],
    }


async def test_exporter_lives_under_the_units_system_call_filter(
    analyze: str, tmp_path: Path
) -> None:
    """With only the allowed system calls and no writable executable memory, the exporter works."""
    engine = engine_here()
    profile = tmp_path / "seccomp.json"
    profile.write_text(json.dumps(seccomp_profile(analyze)))
    options = (f"--security-opt=seccomp={profile}",)
    with engine.running(engine.product(), "demo", options=options) as container:
        await container.ready(10120)
        page = Scrape(container.page(10120, "/metrics").output)
        denied = container.python("import os; os.nice(1)")
        assert container.exit_code("TERM") == 0
    assert len(page.all("flashback_node_uptime_ratio")) == 12
    assert page.value("process_open_fds") > 0
    assert "PermissionError" in denied.errors
