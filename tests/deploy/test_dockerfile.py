"""The Dockerfile and its build context; tests/real runs the image."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.deploy.composed import ROOT, VERSION

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def build_context() -> set[str]:
    """The files that .dockerignore includes."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


def test_linter_has_nothing_to_say() -> None:
    """Hadolint reports nothing, including style."""
    hadolint = Path(sys.executable).with_name("hadolint")
    command = (hadolint, "--failure-threshold=style", ROOT / "Dockerfile")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_build_sees_what_it_copies_and_nothing_else() -> None:
    """The build context has exactly the files that the Dockerfile copies, and they exist."""
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    copied = {source for line in copies for source in line.split()}
    assert build_context() == copied
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    assert all((ROOT / source).exists() for source in copied)


def test_version_is_the_projects() -> None:
    """The default of the Dockerfile's VERSION is the project's version."""
    assert f"\nARG VERSION={VERSION}\n" in DOCKERFILE


def test_every_install_is_held_to_hashes() -> None:
    """Every install in the Dockerfile needs hashes, or uses no index."""
    installs = re.findall(r"\binstall (.+)", DOCKERFILE)
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or "--no-index" in install


def versions(path: Path) -> set[str]:
    """The packages in a lock file, with their versions."""
    return set(re.findall(r"^([\w.-]+==[\w.]+)", path.read_text(), re.MULTILINE))


def test_build_tools_are_those_of_development() -> None:
    """The image is built with the same versions of tools as in development."""
    tools = versions(ROOT / "deploy" / "image" / "requirements-build.txt")
    assert {tool.partition("==")[0] for tool in tools} > {"hatchling"}
    assert tools <= versions(ROOT / "requirements-dev.txt")
