"""The guard in front of a release: the tag must be the version of all that is released."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from exporter.version import VERSION

ROOT = Path(__file__).parents[2]
CHART = "helm/flashback-exporter/Chart.yaml"
COMPOSE = "deploy/compose/compose.yaml"
SAID = ("pyproject.toml", "Dockerfile", COMPOSE, CHART, "CHANGELOG.md", "deploy/release/check-tag")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of what says a version, about to be released as 1.2.3."""
    for name in SAID:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
        text = (tmp_path / name).read_text()
        if name != SAID[-1]:
            text = text.replace(VERSION, "1.2.3").replace("## Unreleased", "## 1.2.3 - 2026-01-01")
            (tmp_path / name).write_text(text)
    return tmp_path


def checked(source: Path, tag: str) -> tuple[int, str]:
    """The guard's exit code and what it says."""
    command = (source / SAID[-1], tag)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_tag_that_fits_gives_the_version(source: Path) -> None:
    """Where everything agrees, the version is printed for the steps that follow."""
    assert checked(source, "v1.2.3") == (0, "1.2.3\n")


def test_other_tag_is_refused(source: Path) -> None:
    """A tag that is not the source's version is told with both."""
    code, said = checked(source, "v1.2.4")
    assert code == 1
    assert "v1.2.4" in said
    assert "1.2.3" in said


@pytest.mark.parametrize("name", ["Dockerfile", COMPOSE, CHART])
def test_part_that_was_forgotten_is_refused(source: Path, name: str) -> None:
    """A version that was not raised everywhere stops the release."""
    path = source / name
    path.write_text(path.read_text().replace("1.2.3", "1.2.2"))
    code, said = checked(source, "v1.2.3")
    assert code == 1
    assert "1.2.2" in said


def test_unwritten_changelog_is_refused(source: Path) -> None:
    """A release that operators are told nothing about is none."""
    path = source / "CHANGELOG.md"
    path.write_text(path.read_text().replace("## 1.2.3 - ", "## Unreleased - "))
    code, said = checked(source, "v1.2.3")
    assert code == 1
    assert "CHANGELOG.md" in said
