"""The lock files match pyproject.toml, and pyproject.toml matches the imports."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNS, DEVELOPS = "requirements.txt", "requirements-dev.txt"
BUILDS = "deploy/image/requirements-build.txt"
LOCKS = [RUNS, DEVELOPS, BUILDS, "requirements-audit.txt", "requirements-fuzz.txt"]
OURS = {"exporter", "monitoring", "tests", "benchmarks", "deploy"}
OF_THE_INTERPRETER = {"setuptools", "pip"}


def group(name: str) -> Iterator[str]:
    """The requirements of a dependency group, including nested groups."""
    for each in PROJECT["dependency-groups"][name]:
        if isinstance(each, str):
            yield each
        else:
            yield from group(each["include-group"])


def asked_of(lock: str) -> list[str]:
    """The requirements in pyproject.toml for a lock file."""
    runs: list[str] = PROJECT["project"]["dependencies"]
    return {
        RUNS: runs,
        DEVELOPS: [*runs, *group("dev")],
        BUILDS: list(group("build")),
        "requirements-audit.txt": list(group("audit")),
        "requirements-fuzz.txt": list(group("fuzz")),
    }[lock]


def locked(lock: str) -> dict[str, str]:
    """The versions in a lock file by name, for all platforms."""
    found = re.findall(r"^([\w.-]+)==([^ ]+)", (ROOT / lock).read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def needed(requirements: Iterable[str]) -> set[str]:
    """All transitive dependencies on this machine, from the installed metadata."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(each), "") for each in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        for each in {"", *requirement.extras} - {extra for at, extra in seen if at == name}:
            seen.add((name, each))
            further = metadata.requires(name) or []
            waiting += [(Requirement(one), each) for one in further]
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_what_is_asked_for(lock: str) -> None:
    """Each requirement in pyproject.toml is locked, in a version that it allows."""
    versions = locked(lock)
    for requirement in map(Requirement, asked_of(lock)):
        name = canonicalize_name(requirement.name)
        assert name in versions, f"run make lock: {lock} lacks {name}"
        fits = requirement.specifier.contains(versions[name], prereleases=True)
        assert fits, f"run make lock: {lock} has {name} {versions[name]}, and not {requirement}"


@pytest.mark.parametrize("lock", [RUNS, DEVELOPS, BUILDS])
def test_lock_has_what_that_needs_in_turn(lock: str) -> None:
    """All transitive dependencies on this machine are locked."""
    assert needed(asked_of(lock)) - OF_THE_INTERPRETER <= set(locked(lock))


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_everything_to_hashes(lock: str) -> None:
    """Each entry is one version with hashes, and none is a URL."""
    entries = re.sub(r"\\\n", "", (ROOT / lock).read_text()).splitlines()
    for entry in (each for each in entries if each and not each.startswith("#")):
        assert re.fullmatch(r"[\w.-]+==[\w.+]+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", entry)


@pytest.mark.parametrize("lock", [RUNS, BUILDS, "requirements-audit.txt"])
def test_locks_agree(lock: str) -> None:
    """A package has the same version in every lock file."""
    here, there = locked(lock), locked(DEVELOPS)
    assert {name: here[name] for name in here.keys() & there.keys()} == {
        name: there[name] for name in here.keys() & there.keys()
    }


def test_build_needs_only_what_is_locked() -> None:
    """The build requirements of the project are in the build's lock file."""
    required = {canonicalize_name(each) for each in PROJECT["build-system"]["requires"]}
    assert required <= set(locked(BUILDS))


def installs() -> Iterator[tuple[str, str]]:
    """Each `pip install` in scripts, workflows and pages, with its file."""
    places = [ROOT / "Makefile", ROOT / "Dockerfile", ROOT / "README.md", *ROOT.glob("docs/*.md")]
    places += [*ROOT.glob(".github/workflows/*"), *ROOT.glob("deploy/release/*[a-z]")]
    for path in (each for each in places if each.is_file()):
        text = re.sub(r"\\\n\s*|^PIP := .*", "", path.read_text(), flags=re.MULTILINE)
        for line in re.findall(r"(?:/pip\"?|-m pip|\(PIP\)|^ +pip) .+", text, re.MULTILINE):
            yield path.name, line


def test_nothing_is_installed_without_its_hash() -> None:
    """Every `pip install` uses hashes or no index, except that of the exporter in the README."""
    found = list(installs())
    assert {"Makefile", "Dockerfile", "systemd.md", "build-distributions"} <= {
        at for at, _ in found
    }
    for place, line in found:
        if line.split()[:3] != ["pip", "install", "flashback-exporter"]:
            options = set(line.split())
            offline = "--no-index" in options or {"--no-deps", "--no-build-isolation"} <= options
            assert "--require-hashes" in line or offline, f"{place}: {line}"


def imported(folder: str) -> set[str]:
    """The third-party packages that a folder's modules import."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - OURS - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("folder", "asked"),
    [
        ("exporter", asked_of(RUNS)),
        ("monitoring", asked_of(DEVELOPS)),
        ("benchmarks", asked_of(DEVELOPS)),
        ("tests", [*asked_of(DEVELOPS), *group("fuzz")]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_imported_is_asked_for(folder: str, asked: list[str]) -> None:
    """Every imported package is a direct requirement in pyproject.toml."""
    declared = {canonicalize_name(Requirement(each).name) for each in asked}
    owners = metadata.packages_distributions()
    for package in imported(folder):
        names = {canonicalize_name(each) for each in owners.get(package, [package])}
        assert names & declared, f"{folder} imports {package}, which pyproject.toml does not name"
