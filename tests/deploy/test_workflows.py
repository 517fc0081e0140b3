"""The GitHub Actions workflows are valid and pinned, and each job has minimal permissions."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
CI, IMAGE, LONG, RELEASE, WEEKLY = WORKFLOWS
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
READS = {"contents": "read"}
PUBLISHES = READS | {"packages": "write", "id-token": "write", "attestations": "write"}


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """The jobs of a workflow by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    """The steps of all jobs."""
    for job in jobs(path).values():
        yield from job.get("steps", [])


def by_name(path: Path) -> str:
    """The file name, as test id."""
    return path.name


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
    ],
)
def test_files_keep_to_their_schema(schema: str, paths: list[Path]) -> None:
    """The files match GitHub's schemas, and each job has a timeout."""
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema)
    done = subprocess.run((*command, *map(str, paths)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=by_name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """Each third-party action is pinned by commit, with its version as comment."""
    used = re.findall(r"\buses: (.+)", path.read_text())
    foreign = [each for each in used if not each.startswith("./")]
    assert foreign
    for each in foreign:
        assert PINNED.fullmatch(each), each


@pytest.mark.parametrize("path", WORKFLOWS, ids=by_name)
def test_an_action_has_one_version(path: Path) -> None:
    """An action that is used several times has the same version everywhere."""
    used = set(re.findall(r"\buses: (\S+)@", path.read_text()))
    assert used
    assert len(set(re.findall(r"\buses: (\S+@\S+)", path.read_text()))) == len(used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=by_name)
def test_nothing_is_allowed_by_default(path: Path) -> None:
    """Each workflow starts without permissions, and each job declares its own."""
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    assert all("permissions" in job for job in jobs(path).values())


def test_jobs_of_a_release_may_do_their_work_only() -> None:
    """Jobs that publish an image cannot write code, and the release job cannot publish one."""
    assert {name: job["permissions"] for name, job in jobs(RELEASE).items()} == {
        "test": READS,
        "names": READS,
        "distributions": READS | {"id-token": "write", "attestations": "write"},
        "image": PUBLISHES,
        "chart": PUBLISHES,
        "pypi": {"id-token": "write"},
        "announce": {"contents": "write"},
    }


@pytest.mark.parametrize("path", WORKFLOWS, ids=by_name)
def test_no_token_stays_in_the_work_tree(path: Path) -> None:
    """Checkouts do not persist credentials."""
    checkouts = [step for step in steps(path) if "actions/checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=by_name)
def test_commands_take_nothing_from_outside_as_code(path: Path) -> None:
    """Scripts contain no `${{ }}` expressions; values are passed by environment variables."""
    assert all("${{" not in step.get("run", "") for step in steps(path))


def test_ci_runs_what_everybody_runs() -> None:
    """The CI workflow runs the same make targets as .ci/run."""
    targets = r"make ([a-z- ]+)$"
    (in_workflow,) = (step["run"] for step in steps(CI) if "run" in step)
    own = re.search(targets, (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    theirs = re.search(targets, in_workflow, re.MULTILINE)
    assert own is not None
    assert theirs is not None
    assert own[1] == theirs[1]


def test_each_night_and_week_has_its_job() -> None:
    """Each schedule runs one job, with existing make targets."""
    workflow = yaml.safe_load(LONG.read_text())
    crons = {each["cron"] for each in workflow["on"]["schedule"]}
    left_out = {name: re.findall(r"'(.+?)'", job["if"]) for name, job in jobs(LONG).items()}
    assert sorted(cron for (cron,) in left_out.values()) == sorted(crons)
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [step["run"] for step in steps(LONG) if "run" in step]
    targets = {word for run in commands for word in run.partition("make ")[2].split()}
    assert {each for each in targets if "=" not in each} <= there
    assert {"properties", "fuzz", "test-busy"} <= targets


def test_nothing_is_released_untested() -> None:
    """Every job that publishes depends on the tests of the same commit."""
    needs = {name: set(job.get("needs", [])) for name, job in jobs(RELEASE).items()}

    def stands_on(name: str) -> set[str]:
        return needs[name].union(*(stands_on(each) for each in needs[name]))

    assert jobs(RELEASE)["test"]["uses"] == f"./{CI.relative_to(ROOT)}"
    for name in needs.keys() - {"test", "names"}:
        assert {"test", "names"} <= stands_on(name)


def test_image_has_both_platforms_sbom_and_provenance() -> None:
    """The image is built for amd64 and arm64, with SBOM, provenance and a base pinned by digest."""
    (build,) = (step["with"] for step in steps(IMAGE) if "build-push-action" in str(step))
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert (build["sbom"], build["provenance"]) == (True, "mode=max")
    arguments = {line.partition("=")[0] for line in build["build-args"].splitlines()}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert {"VERSION", "REVISION", "BASE_DIGEST"} == arguments
    assert arguments <= set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))


def test_image_has_its_tags_last() -> None:
    """The image is pushed by digest, and tagged only after it was run and signed."""
    order = [str(step.get("run", step.get("uses"))) for step in steps(IMAGE)]
    marks = ("build-push-action", "image.py verify", "cosign sign", "attest@", "image.py tag")
    places = [[mark in each for each in order].index(True) for mark in marks]
    assert places == sorted(places)
    assert places[-1] == len(order) - 1
    (build,) = (step["with"] for step in steps(IMAGE) if "build-push-action" in str(step))
    assert "push-by-digest=true" in build["outputs"].split(",")
    assert build["tags"] == "${{ steps.facts.outputs.image }}"


def test_weekly_build_moves_only_the_series_tag() -> None:
    """The weekly image is built from the newest release, and moves only the tag of its series."""
    given = jobs(WEEKLY)["image"]["with"]
    assert given["tags"] == "${{ needs.newest.outputs.series }}"
    assert given["ref"] == "v${{ needs.newest.outputs.version }}"
    assert jobs(WEEKLY)["image"]["if"] == "needs.newest.outputs.version != ''"
    assert jobs(WEEKLY)["image"]["uses"] == f"./{IMAGE.relative_to(ROOT)}"


def test_no_run_cancels_another() -> None:
    """Each release and the weekly run have their own concurrency group, without cancellation."""
    groups = {path: yaml.safe_load(path.read_text())["concurrency"] for path in (RELEASE, WEEKLY)}
    assert groups == {
        RELEASE: {"group": "release-${{ github.ref }}", "cancel-in-progress": False},
        WEEKLY: {"group": "weekly", "cancel-in-progress": False},
    }


def test_weekly_run_asks_github_for_the_newest_release() -> None:
    """The step that lists releases has a GitHub token."""
    (step,) = (each for each in steps(WEEKLY) if "newest-release" in each.get("run", ""))
    assert step["env"] == {"GH_TOKEN": "${{ github.token }}"}


def test_chart_is_packaged_by_a_pinned_helm() -> None:
    """Helm is installed with a hash before the chart is pushed, and is first in PATH."""
    runs = [step.get("run", "") for step in jobs(RELEASE)["chart"]["steps"]]
    (install,) = (run for run in runs if "deploy/release/install-helm helm " in run)
    assert "GITHUB_PATH" in install
    (push,) = (run for run in runs if "push-chart" in run)
    assert runs.index(install) < runs.index(push)
    script = (ROOT / "deploy" / "release" / "install-helm").read_text()
    assert re.search(r"\[helm\]=\"[\w-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}\"", script)
    assert "--require-hashes" in script


def test_week_checks_for_known_vulnerabilities() -> None:
    """`make audit` runs weekly, for every lock file."""
    assert [step["run"] for step in jobs(WEEKLY)["audit"]["steps"] if "run" in step] == [
        "make audit"
    ]
    recipe = re.search(r"^audit:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    words = {word.rstrip(";") for word in recipe[1].split()}
    assert {"requirements*.txt", "deploy/image/requirements-build.txt"} <= words


@pytest.mark.parametrize("path", WORKFLOWS, ids=by_name)
def test_scripts_that_are_run_are_there(path: Path) -> None:
    """Each script that a workflow runs exists."""
    for script in re.findall(r"deploy/release/[\w.-]+", path.read_text()):
        assert (ROOT / script).exists(), script


def test_each_python_of_the_package_is_tested() -> None:
    """CI tests exactly the Python versions in the package's classifiers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = re.findall(r"Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    assert jobs(CI)["test"]["strategy"]["matrix"]["python"] == said
    assert project["requires-python"] == f">={said[0]}"


def test_updates_are_proposed_for_all_that_is_pinned() -> None:
    """Dependabot updates lock files, actions, images and compose files, with a cool-down."""
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    kinds = {each["package-ecosystem"] for each in updates}
    assert kinds == {"pip", "github-actions", "docker", "docker-compose"}
    assert all(each["cooldown"]["default-days"] >= 7 for each in updates)
    (python,) = (each for each in updates if each["package-ecosystem"] == "pip")
    folders = {path.parent for path in ROOT.glob("requirements*.txt")}
    folders |= {path.parent for path in (ROOT / "deploy").rglob("requirements*.txt")}
    assert {ROOT / each.removeprefix("/") for each in python["directories"]} == folders
