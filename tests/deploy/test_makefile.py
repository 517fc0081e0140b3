"""`make demo`: its output and its check of the Python version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREREQUISITES = ("requirements.txt", "pyproject.toml", "deploy/image/requirements-build.txt")


def make_demo(folder: Path, version: tuple[int, int, int]) -> subprocess.CompletedProcess[str]:
    """Dry-run `make demo` in an empty directory, with a Python that reports this version."""
    for name in PREREQUISITES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    python = folder / "python"
    python.write_text(
        f'#!/bin/sh\n{sys.executable} -c "import sys; sys.version_info={version}; $2"'
    )
    python.chmod(0o755)
    command = ("make", "--dry-run", f"--file={ROOT / 'Makefile'}", "demo", f"PYTHON={python}")
    # Variables of a make that runs the tests must not affect this one.
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MF"))
    }
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 13)])
def test_old_python_is_told_at_once(tmp_path: Path, version: tuple[int, int, int]) -> None:
    """A Python that is too old is one error line that says how to choose another."""
    done = make_demo(tmp_path, version)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "must be Python 3.11 or newer: make PYTHON=python3.13" in line


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 14, 0)])
def test_python_that_is_new_enough_is_taken(tmp_path: Path, version: tuple[int, int, int]) -> None:
    """A new enough Python creates the environment, after a line that says how long it takes."""
    done = make_demo(tmp_path, version)
    assert done.returncode == 0, done.stderr
    first, second, *rest = done.stdout.splitlines()
    assert "takes up to a minute" in first
    assert second.startswith(f"{tmp_path / 'python'} -m venv")
    installs = [line for line in rest if "pip install" in line]
    assert installs
    assert not any("--quiet" in line for line in installs), "pip shows its progress"
