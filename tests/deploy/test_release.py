"""The release scripts: what they reject, build and print.

Programs that would contact registries, GitHub or PyPI are replaced by fakes. The image has its own
test module.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from tests.deploy.composed import ROOT, VERSION

CHART = "helm/flashback-exporter/Chart.yaml"
COMPOSE = "deploy/compose/compose.yaml"
UNPUBLISHED = "Nothing is published yet"
SAID = (
    "pyproject.toml",
    "Dockerfile",
    COMPOSE,
    CHART,
    "CHANGELOG.md",
    "README.md",
    "deploy/release/check-tag",
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the files that contain the version, ready to be released as 1.2.3."""
    for name in SAID:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
        text = (tmp_path / name).read_text()
        if name != SAID[-1]:
            text = text.replace(VERSION, "1.2.3").replace("## Unreleased", "## 1.2.3 - 2026-01-01")
            text = text.replace(UNPUBLISHED, "All of this is published")
            (tmp_path / name).write_text(text)
    return tmp_path


def checked(source: Path, tag: str) -> tuple[int, str]:
    """The exit code and output of check-tag."""
    command = (source / SAID[-1], tag)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_tag_that_fits_gives_the_version(source: Path) -> None:
    """If all files have the version of the tag, it is printed for the next steps."""
    assert checked(source, "v1.2.3") == (0, "1.2.3\n")


def test_other_tag_is_refused(source: Path) -> None:
    """A tag that differs from the source's version is rejected with both."""
    code, said = checked(source, "v1.2.4")
    assert code == 1
    assert "v1.2.4" in said
    assert "1.2.3" in said


@pytest.mark.parametrize("name", ["Dockerfile", COMPOSE, CHART])
def test_part_that_was_forgotten_is_refused(source: Path, name: str) -> None:
    """A file with another version is rejected."""
    path = source / name
    path.write_text(path.read_text().replace("1.2.3", "1.2.2"))
    code, said = checked(source, "v1.2.3")
    assert code == 1
    assert "1.2.2" in said


def test_unwritten_changelog_is_refused(source: Path) -> None:
    """A version without a dated section in the changelog is rejected."""
    path = source / "CHANGELOG.md"
    path.write_text(path.read_text().replace("## 1.2.3 - ", "## Unreleased - "))
    code, said = checked(source, "v1.2.3")
    assert code == 1
    assert "CHANGELOG.md" in said


def test_readme_says_that_nothing_is_published_until_the_first_release() -> None:
    """The README says that nothing is published if and only if the changelog has no release."""
    released = re.search(r"^## \d", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert (UNPUBLISHED in (ROOT / "README.md").read_text()) is (released is None)


def test_readme_that_denies_the_release_is_refused(source: Path) -> None:
    """A README that says that nothing is published yet is rejected."""
    path = source / "README.md"
    path.write_text(f"{UNPUBLISHED}, neither on PyPI nor elsewhere.\n")
    code, said = checked(source, "v1.2.3")
    assert code == 1
    assert "README.md" in said


@pytest.mark.parametrize("version", ["1.2.3rc1", "1.2.3-beta", "1.2", "1.2.3.post1"])
def test_version_that_charts_or_python_cannot_have_is_refused(source: Path, version: str) -> None:
    """A version must be X.Y.Z or X.Y.Z-rc.N, which both SemVer and PyPI support."""
    for name in SAID[:-1]:
        path = source / name
        path.write_text(path.read_text().replace("1.2.3", version))
    code, said = checked(source, f"v{version}")
    assert code == 1
    assert "X.Y.Z-rc.N" in said


def test_pre_release_is_taken(source: Path) -> None:
    """X.Y.Z-rc.N is a valid version."""
    for name in SAID[:-1]:
        path = source / name
        path.write_text(path.read_text().replace("1.2.3", "1.2.3-rc.1"))
    assert checked(source, "v1.2.3-rc.1") == (0, "1.2.3-rc.1\n")


def test_pages_name_the_version() -> None:
    """Images, tags and files on the pages have the current version."""
    whole = r"\d+\.\d+\.\d+(?:-rc\.\d+)?"
    place = rf"(?:flashback-exporter:|refs/tags/v|flashback-exporter-)({whole})"
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        assert set(re.findall(place, page.read_text())) <= {VERSION}, page.name
    assert VERSION in re.findall(place, (ROOT / "docs" / "docker.md").read_text())


SCRIPTS = ROOT / "deploy" / "release"
DIGEST = f"sha256:{'5' * 64}"
HELM = """\
here=$(dirname "$0")
echo "helm $*" >>"$here/calls"
packed() { tar -czf "$1/flashback-exporter-1.2.3.tgz" -C "$2" flashback-exporter; }
case $1 in
  package) packed "$4" "$2/.." ;;
  pull)
    [ -e "$here/published" ] || { echo "Error: ${ABSENT:-not found}" >&2; exit 1; }
    packed "$6" "$here/published"
    echo "Digest: sha256:PUBLISHED" ;;
  push)
    [ ! -e "$here/fails" ] || { echo "Error: no space left" >&2; exit 1; }
    echo "Digest: DIGEST" >&2 ;;
esac
"""
REGISTRY = "oci://registry.example/charts"
GH = """\
printf '%s\\n' "$@" >>"$(dirname "$0")/calls"
"""


class Tree:
    """A copy of the release scripts, with fakes for other programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        shutil.copytree(SCRIPTS, folder / "deploy" / "release")

    def provide(self, name: str, script: str) -> None:
        """Replace a program by a shell script."""
        (self.bin / name).write_text(f"#!/bin/sh\n{script}")
        (self.bin / name).chmod(0o755)

    def run(self, *command: str) -> tuple[int, str, str]:
        """A script's exit code, stdout and stderr."""
        name, *arguments = command
        environ = os.environ | {"PATH": f"{self.bin}:{os.environ['PATH']}"}
        environ |= {f"GIT_{who}_{what}": "x" for who in GIT_ROLES for what in ("NAME", "EMAIL")}
        program = str(self.folder / "deploy" / "release" / name) if name != "git" else name
        done = subprocess.run(
            (program, *arguments),
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def answer(self, *command: str) -> str:
        """The stdout of a script that must succeed."""
        code, answer, said = self.run(*command)
        assert code == 0, said
        return answer

    def calls(self) -> str:
        """The recorded calls of the fakes."""
        return (self.bin / "calls").read_text()


GIT_ROLES = ("AUTHOR", "COMMITTER")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A source with only the release scripts."""
    return Tree(tmp_path)


@pytest.fixture
def chart(tree: Tree) -> Tree:
    """A source with a chart, and a registry without one."""
    folder = tree.folder / "helm" / "flashback-exporter"
    folder.mkdir(parents=True)
    (folder / "Chart.yaml").write_text("version: 1.2.3\nannotations:\n  other: x\n")
    (tree.folder / "linked").write_text("rules")
    (folder / "rules").symlink_to("../../linked")
    tree.provide("helm", HELM.replace("DIGEST", DIGEST).replace("PUBLISHED", "6" * 64))
    return tree


def publish(chart: Tree, rules: str) -> None:
    """Add version 1.2.3 of the chart to the registry, with these rules."""
    shutil.copytree(chart.folder / "helm", chart.bin / "published")
    (chart.bin / "published" / "flashback-exporter" / "rules").write_text(rules)


def packaged_annotations(chart: Tree, version: str) -> Any:  # noqa: ANN401 - as YAML has it
    """The annotations in the packaged chart."""
    with tarfile.open(chart.folder / "dist" / f"flashback-exporter-{version}.tgz") as package:
        metadata = package.extractfile("flashback-exporter/Chart.yaml")
        assert metadata is not None
        return yaml.safe_load(metadata.read())["annotations"]


def test_chart_is_pushed_and_its_digest_handed_on(chart: Tree) -> None:
    """The package of this version is pushed, and only its digest is printed."""
    assert chart.answer("push-chart", REGISTRY, "1.2.3") == f"{DIGEST}\n"
    assert f"push dist/flashback-exporter-1.2.3.tgz {REGISTRY}" in chart.calls()


@pytest.mark.parametrize("digest", ["", "sha256:12"])
def test_chart_without_a_digest_is_not_signed(chart: Tree, digest: str) -> None:
    """If Helm prints no valid digest, the step fails before signing."""
    chart.provide("helm", HELM.replace("DIGEST", digest))
    assert chart.run("push-chart", REGISTRY, "1.2.3")[0] != 0


def test_chart_that_cannot_be_pushed_is_told(chart: Tree) -> None:
    """Helm's error is printed, and the step fails."""
    (chart.bin / "fails").touch()
    code, answer, said = chart.run("push-chart", REGISTRY, "1.2.3")
    assert (code, answer) == (1, "")
    assert "no space left" in said


def test_published_chart_is_not_overwritten(chart: Tree) -> None:
    """If the registry has the version with other content, the push is refused."""
    publish(chart, "other rules")
    code, answer, said = chart.run("push-chart", REGISTRY, "1.2.3")
    assert (code, answer) == (1, "")
    assert "raise the version" in said
    assert "helm push" not in chart.calls()


def test_chart_that_is_published_already_keeps_its_digest(chart: Tree) -> None:
    """If the registry has the same chart, nothing is pushed and its digest is printed."""
    publish(chart, "rules")
    assert chart.answer("push-chart", REGISTRY, "1.2.3") == f"sha256:{'6' * 64}\n"
    assert "helm push" not in chart.calls()


def test_chart_is_not_pushed_without_an_answer_of_the_registry(
    chart: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the registry cannot be reached, nothing is pushed."""
    monkeypatch.setenv("ABSENT", "connection refused")
    code, answer, said = chart.run("push-chart", REGISTRY, "1.2.3")
    assert (code, answer) == (1, "")
    assert "connection refused" in said
    assert "helm push" not in chart.calls()


@pytest.mark.parametrize("absent", ["registry/chart:1.2.3: not found", "403: denied: x"])
def test_first_chart_is_pushed(chart: Tree, monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    """If the registry has no chart or denies access to it, the chart is pushed."""
    monkeypatch.setenv("ABSENT", absent)
    assert chart.answer("push-chart", REGISTRY, "1.2.3") == f"{DIGEST}\n"


def test_chart_of_a_pre_release_says_so(chart: Tree) -> None:
    """The chart of a pre-release has Artifact Hub's prerelease annotation, others do not."""
    chart.answer("push-chart", REGISTRY, "1.2.3")
    assert packaged_annotations(chart, "1.2.3") == {"other": "x"}
    chart.provide("helm", HELM.replace("DIGEST", DIGEST).replace("1.2.3.tgz", "1.2.3-rc.1.tgz"))
    chart.answer("push-chart", REGISTRY, "1.2.3-rc.1")
    assert packaged_annotations(chart, "1.2.3-rc.1") == {
        "artifacthub.io/prerelease": "true",
        "other": "x",
    }


RELEASES = """\
case "$*" in
  "release list "*"--json tagName --jq .[].tagName"*) ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
printf '%s\\n' v0.9.1 v0.10.0 v1 x9.9.9 v0.11.0-rc.1
case "$*" in *--exclude-drafts*) ;; *) echo v0.12.0 ;; esac
case "$*" in *--exclude-pre-releases*) ;; *) echo v0.13.0 ;; esac
"""


def test_newest_release_is_the_highest_version(tree: Tree) -> None:
    """The newest release is the highest published version; drafts and pre-releases do not count."""
    tree.answer("git", "init", "--quiet")
    tree.answer("git", "commit", "--quiet", "--allow-empty", "--message=x")
    tree.answer("git", "tag", "v0.14.0")  # its release failed midway
    tree.provide("gh", "")
    assert tree.answer("newest-release") == ""
    tree.provide("gh", RELEASES)
    assert tree.answer("newest-release") == "0.10.0\n"


def test_newest_release_needs_github(tree: Tree) -> None:
    """If GitHub returns an error, the step fails instead of reporting no release."""
    tree.provide("gh", "echo 'HTTP 502' >&2; exit 1")
    code, answer, said = tree.run("newest-release")
    assert code != 0
    assert answer == ""
    assert "502" in said


@pytest.fixture
def built(tree: Tree) -> Tree:
    """A source with a changelog and distributions for 1.2.3 and 1.3.0-rc.1."""
    (tree.folder / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 1.3.0-rc.1 - 2026-02-01\n\n- Soon.\n\n"
        "## 1.2.3 - 2026-01-01\n\n### Added\n\n- A thing.\n\n## 1.2.2 - 2025-01-01\n\n- Old.\n"
    )
    (tree.folder / "requirements.txt").write_text((ROOT / "requirements.txt").read_text())
    (tree.folder / "dist").mkdir()
    for version in ("1.2.3", "1.3.0rc1"):
        for name in (f"{version}-py3-none-any.whl", f"{version}.tar.gz"):
            (tree.folder / "dist" / f"flashback_exporter-{name}").write_text(name)
    tree.provide("gh", GH)
    return tree


def test_notes_are_the_changelogs_section(built: Tree) -> None:
    """The release notes are the version's section of the changelog."""
    notes = built.answer("release-notes", "1.2.3")
    assert notes.strip() == "### Added\n\n- A thing."


def test_list_of_hashes_has_the_release_itself(built: Tree) -> None:
    """The requirements file has every locked package, and this version with both hashes."""
    *libraries, own = re.sub(r"\\\n", "", built.answer("hashed-requirements", "1.2.3")).splitlines()
    assert len([each for each in libraries if "==" in each]) == len(
        re.findall("^[a-z].*==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    )
    requirement, *hashes = own.split()
    assert Requirement(requirement) == Requirement("flashback-exporter==1.2.3")
    assert hashes == [
        f"--hash=sha256:{hashlib.sha256((built.folder / 'dist' / name).read_bytes()).hexdigest()}"
        for name in ("flashback_exporter-1.2.3-py3-none-any.whl", "flashback_exporter-1.2.3.tar.gz")
    ]


def test_list_of_hashes_needs_what_it_lists(tree: Tree) -> None:
    """Without the distributions, no requirements file is written."""
    (tree.folder / "requirements.txt").touch()
    assert tree.run("hashed-requirements", "1.2.3")[0] != 0


def test_release_is_announced_with_its_files(built: Tree) -> None:
    """The GitHub release has the tag, the notes, the distributions and the requirements file."""
    built.answer("announce", "1.2.3")
    calls = built.calls()
    assert calls.startswith("release\ncreate\nv1.2.3\n--verify-tag\n--notes\n")
    assert "- A thing." in calls
    assert "dist/flashback_exporter-1.2.3-py3-none-any.whl\n" in calls
    assert "dist/flashback-exporter-1.2.3-requirements.txt\n" in calls
    assert "--prerelease" not in calls


def test_pre_release_is_not_the_latest(built: Tree) -> None:
    """A pre-release on GitHub is marked as such, and not as latest."""
    built.answer("announce", "1.3.0-rc.1")
    assert "--prerelease\n--latest=false\n" in built.calls()
    assert (
        "flashback-exporter==1.3.0rc1"
        in (built.folder / "dist" / "flashback-exporter-1.3.0-rc.1-requirements.txt").read_text()
    )


def test_distributions_say_their_commit(tree: Tree) -> None:
    """The distributions contain the commit they were built from, and the source stays clean."""
    tree.answer("git", "init", "--quiet")
    tree.answer("git", "commit", "--quiet", "--allow-empty", "--message=x")
    commit = tree.answer("git", "rev-parse", "HEAD")
    (tree.folder / "exporter").mkdir()
    tree.provide("hatchling", "mkdir dist; cp exporter/REVISION dist; date -d @$SOURCE_DATE_EPOCH")
    tree.answer("build-distributions", str(tree.bin / "hatchling"))
    assert (tree.folder / "dist" / "REVISION").read_text() == commit
    assert list((tree.folder / "exporter").iterdir()) == []


def test_root_builds_a_checkout_of_another_user(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is read even if git considers the checkout another user's."""
    tree.answer("git", "init", "--quiet")
    tree.answer("git", "commit", "--quiet", "--allow-empty", "--message=x")
    (tree.folder / "exporter").mkdir()
    tree.provide("hatchling", "mkdir dist; cp exporter/REVISION dist")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # it may allow every owner
    assert tree.run("git", "rev-parse", "HEAD")[0] != 0
    tree.answer("build-distributions", str(tree.bin / "hatchling"))
    assert len((tree.folder / "dist" / "REVISION").read_text().strip()) == 40


def test_unpacked_sdist_keeps_its_commit(tree: Tree) -> None:
    """Without git, a build from the sdist keeps the commit in it."""
    (tree.folder / "exporter").mkdir()
    (tree.folder / "exporter" / "REVISION").write_text("0123abc\n")
    tree.provide("hatchling", "mkdir dist; cp exporter/REVISION dist")
    tree.answer("build-distributions", str(tree.bin / "hatchling"))
    assert (tree.folder / "dist" / "REVISION").read_text() == "0123abc\n"
    assert (tree.folder / "exporter" / "REVISION").exists()


def test_scripts_are_checked() -> None:
    """Shellcheck reports nothing, and all scripts are executable."""
    scripts = [each for each in SCRIPTS.iterdir() if each.is_file() and each.suffix != ".py"]
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run((shellcheck, *scripts), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert all(os.access(each, os.X_OK) for each in scripts)
