"""The sdist and the wheel are complete, and their metadata is right for PyPI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from tests.deploy.composed import ROOT, VERSION
from tests.real.programs import program

TOOLS = Path(sys.executable).parent
REPOSITORY = "github.com/flashback-exporter/flashback-exporter"


def run(*command: str | Path, folder: Path) -> str:
    """The output of a command that must succeed."""
    environ = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist and the wheel, built with the locked tools."""
    folder = tmp_path_factory.mktemp("dist")
    run(TOOLS / "hatchling", "build", "--directory", folder, folder=ROOT)
    return folder


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    (archive,) = dist.glob("*.tar.gz")
    folder = tmp_path_factory.mktemp("unpacked")
    run("tar", "--extract", "--file", archive, folder=folder)
    (source,) = folder.iterdir()
    return source


def metadata(wheel: Path) -> Message:
    """The wheel's metadata."""
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (each for each in opened.namelist() if each.endswith("/METADATA"))
        return BytesParser().parsebytes(opened.read(name))


def description(wheel: Path) -> str:
    """The wheel's description, as PyPI shows it."""
    return str(metadata(wheel).get_payload())


def test_sdist_is_the_repository(unpacked: Path) -> None:
    """Each file in git is in the sdist, including those that the chart links to."""
    if not (ROOT / ".git").exists():
        pytest.skip("there is no git to compare with: this is no checkout")
    # In a container the checkout may belong to another user, which git rejects by default.
    owned = f"safe.directory={ROOT}"
    tracked = run("git", "-c", owned, "ls-files", folder=ROOT).splitlines()
    assert "monitoring/rules/flashback-alerts.yaml" in tracked
    missing = [
        name for name in tracked if (ROOT / name).exists() and not (unpacked / name).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("name", ["rules", "dashboards"])
def test_chart_of_the_sdist_has_its_files(unpacked: Path, name: str) -> None:
    """The chart's rules and dashboards, symlinks in the repository, are files in the sdist."""
    charts = unpacked / "helm" / "flashback-exporter" / "files" / name
    assert {each.name: each.read_text() for each in charts.iterdir()} == {
        each.name: each.read_text() for each in (ROOT / "monitoring" / name).iterdir()
    }


def test_page_on_pypi_leads_somewhere(dist: Path) -> None:
    """Links and pictures in PyPI's description are absolute URLs of this version's files."""
    (wheel,) = dist.glob("*.whl")
    page, version = description(wheel), metadata(wheel)["Version"]
    addresses = re.findall(r"\]\(([^)]+)\)", page)
    assert all(each.startswith("https://") for each in addresses)
    own = re.compile(rf"https://{REPOSITORY}/blob/v{re.escape(version)}/(.+)")
    pictures = re.compile(
        rf"!\[[^]]*\]\(https://raw.githubusercontent.com/flashback-exporter/flashback-exporter"
        rf"/v{re.escape(version)}/([^)]+)\)"
    )
    files = [found[1] for each in addresses if (found := own.match(each))]
    assert len(files) > 10
    assert len(pictures.findall(page)) == page.count("![") > 0
    for file in [*files, *pictures.findall(page)]:
        assert (ROOT / file).exists(), file


def test_page_of_a_pre_release_names_its_tag(unpacked: Path, tmp_path: Path) -> None:
    """A pre-release's version and links are spelled 1.2.0-rc.1 as its tag, file names 1.2.0rc1."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        text = (unpacked / name).read_text()
        text = re.sub('^version = ".*"', 'version = "1.2.0-rc.1"', text, flags=re.MULTILINE)
        (tmp_path / name).write_text(text)
    (tmp_path / "exporter").mkdir()
    (tmp_path / "exporter" / "__init__.py").touch()
    run(TOOLS / "hatchling", "build", "--target", "wheel", folder=tmp_path)
    wheel = tmp_path / "dist" / "flashback_exporter-1.2.0rc1-py3-none-any.whl"
    versions = set(re.findall(r"flashback-exporter/(?:blob/)?(v[^/]+)/", description(wheel)))
    assert metadata(wheel)["Version"] == "1.2.0-rc.1"
    assert versions == {"v1.2.0-rc.1"}


def test_metadata_say_whose_where_and_for_what(dist: Path) -> None:
    """The metadata has an author, project URLs and a development status."""
    (wheel,) = dist.glob("*.whl")
    said = metadata(wheel)
    labels = {each.partition(",")[0] for each in said.get_all("Project-URL", [])}
    assert labels == {"Homepage", "Documentation", "Changelog", "Issues", "Source"}
    assert all(REPOSITORY in each for each in said.get_all("Project-URL", []))
    assert said["Author"]
    assert any(each.startswith("Development Status") for each in said.get_all("Classifier", []))


@pytest.mark.long
def test_sdist_passes_its_own_checks(unpacked: Path) -> None:
    """`make check` passes in the unpacked sdist."""
    # The environment already exists: nothing is installed.
    run("make", "--assume-old=.venv/.installed", "check", f"BIN={TOOLS}", folder=unpacked)


@pytest.mark.long
def test_sdist_renders_its_own_rules(unpacked: Path) -> None:
    """The rules and dashboards in the sdist are those that its renderer generates."""
    folder = unpacked / "monitoring"
    files = [*(folder / "rules").iterdir(), *(folder / "dashboards").iterdir()]
    before = {each: each.read_text() for each in files}
    for each in files:
        each.unlink()
    run(sys.executable, "-m", "monitoring", folder=unpacked)
    assert {each: each.read_text() for each in files} == before


@pytest.mark.long
def test_rules_of_the_sdist_are_good(unpacked: Path) -> None:
    """Promtool accepts the rules in the sdist and passes one of their tests."""
    promtool = program("promtool")
    run(promtool, "check", "rules", *(unpacked / "monitoring" / "rules").iterdir(), folder=unpacked)
    run(promtool, "test", "rules", "monitoring/tests/recording.yaml", folder=unpacked)


@pytest.mark.long
def test_release_can_be_installed_by_its_hashes(unpacked: Path, tmp_path: Path) -> None:
    """Pip installs the wheel of a release with the hashes from its requirements file."""
    (unpacked / "exporter" / "REVISION").write_text("0123abc\n")
    scripts = unpacked / "deploy" / "release"
    run(scripts / "build-distributions", TOOLS / "hatchling", folder=unpacked)
    listed = run(scripts / "hashed-requirements", VERSION, folder=unpacked)
    own = tmp_path / "own.txt"
    own.write_text(listed[listed.index("flashback-exporter==") :])
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps")
    wheels = f"--find-links={unpacked / 'dist'}"
    where = f"--target={tmp_path / 'installed'}"
    run(*pip, wheels, where, "--require-hashes", "--requirement", own, folder=tmp_path)
    assert (tmp_path / "installed" / "exporter" / "REVISION").read_text() == "0123abc\n"
