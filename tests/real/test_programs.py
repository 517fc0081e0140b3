"""Tests of real programs are skipped or fail when a program is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.real.programs import program

MISSING = r"no-such-program \(current\) is not installed: run make test-tools"


def test_missing_program_skips_its_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a developer's machine, the tests of a missing program are skipped with a hint."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=MISSING):
        program("no-such-program")


def test_missing_program_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI, the tests of a missing program fail."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=MISSING):
        program("no-such-program")


def test_installed_program_is_found_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed program is returned with its path."""
    python = Path(sys.executable)
    monkeypatch.setenv("PATH", str(python.parent))
    assert program(python.name) == str(python)


def test_oldest_program_is_never_the_one_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in the PATH is not used as the oldest version, because its version is unknown."""
    monkeypatch.setenv("CI", "true")
    python = Path(sys.executable)
    monkeypatch.setenv("PATH", str(python.parent))
    with pytest.raises(pytest.fail.Exception, match=rf"{python.name} \(oldest\) is not installed"):
        program(python.name, "oldest")
