"""How a release verifies and tags its image, with a fake Docker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "release" / "image.py"
IMAGE, REVISION = "registry.example/flashback-exporter", "0123abc"
INDEX, OTHER, AMD, ARM, SBOM = (f"sha256:{letter * 64}" for letter in "0123a")

DOCKER = """\
#!{python}
import json, sys
from pathlib import Path
file = Path(__file__).with_name("registry.json")
registry = json.loads(file.read_text())
words = sys.argv[1:]
registry["calls"].append(words)
name, _, tag = words[-1].rpartition(":")
if words[0] == "run":
    image, digest = words[-2].split("@")
    print(registry["says"][digest])
elif words[2] == "create":
    for word in words[3:-1]:
        registry["tags"][word.rpartition(":")[2]] = registry["lands_on"] or words[-1].split("@")[1]
elif "--raw" in words:
    print(json.dumps(registry["index"]))
elif registry["broken"] or tag not in registry["tags"]:
    file.write_text(json.dumps(registry))
    sys.exit("503" if registry["broken"] else f"ERROR: {{words[-1]}}: not found")
else:
    print(registry["tags"][tag])
file.write_text(json.dumps(registry))
"""


def manifest(os_name: str, architecture: str, digest: str) -> dict[str, Any]:
    """A platform's entry in an image index."""
    return {"platform": {"os": os_name, "architecture": architecture}, "digest": digest}


@dataclass
class Registry:
    """A registry with one image, and a fake Docker that uses it."""

    folder: Path

    def __post_init__(self) -> None:
        docker = self.folder / "docker"
        docker.write_text(DOCKER.format(python=sys.executable))
        docker.chmod(0o755)
        says = f"flashback-exporter, version 1.2.3 (revision: {REVISION})\n  python version: 3\n"
        platforms = [
            manifest("linux", "amd64", AMD),
            manifest("linux", "arm64", ARM),
            manifest("unknown", "unknown", SBOM),
        ]
        self.write(
            tags={},
            index={"manifests": platforms},
            says={AMD: says, ARM: says},
            calls=[],
            broken=False,
            lands_on=None,
        )

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "registry.json").read_text())
        return found

    def write(self, **changes: Any) -> None:  # noqa: ANN401 - JSON
        file = self.folder / "registry.json"
        old = self.read() if file.exists() else {}
        file.write_text(json.dumps(old | changes))

    def does(self, *arguments: str) -> tuple[int, str]:
        """The script's exit code and output."""
        environ = os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        command = (sys.executable, str(SCRIPT), *arguments)
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def verifies(self) -> tuple[int, str]:
        return self.does("verify", IMAGE, INDEX, "1.2.3", REVISION)

    def tags(self, *names: str) -> tuple[int, str]:
        return self.does("tag", IMAGE, INDEX, *names)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry with a new image for both platforms, without tags."""
    return Registry(tmp_path)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.2.3", "1.2.3 1.2"),
        ("0.10.0", "0.10.0 0.10"),
        ("1.2.3-rc.1", "1.2.3-rc.1"),
        ("1.2.3rc1", "1.2.3rc1"),
    ],
)
def test_only_a_version_moves_its_series(registry: Registry, version: str, expected: str) -> None:
    """A version gets its own tag and its series'; a pre-release only its own; neither `latest`."""
    assert registry.does("tags", version) == (0, f"{expected}\n")


def test_each_platform_is_run_by_its_own_digest(registry: Registry) -> None:
    """Each platform's image is run by its own digest."""
    assert registry.verifies() == (0, "")
    runs = [call for call in registry.read()["calls"] if call[0] == "run"]
    assert [each[-2] for each in runs] == [f"{IMAGE}@{AMD}", f"{IMAGE}@{ARM}"]
    assert ["--platform=linux/amd64" in each for each in runs] == [True, False]
    assert all({"--read-only", "--cap-drop=ALL"} <= set(each) for each in runs)


def test_image_that_says_another_version_is_refused(registry: Registry) -> None:
    """If one platform's image reports another version, the release fails and names the platform."""
    registry.write(says=registry.read()["says"] | {ARM: "version 1.2.2 (revision: 0)"})
    code, said = registry.verifies()
    assert code == 1
    assert "linux/arm64" in said
    assert "1.2.2" in said


@pytest.mark.parametrize(
    "found",
    [
        [],
        [manifest("linux", "amd64", AMD)],
        [manifest("linux", each, AMD) for each in ("arm64", "x")],
    ],
)
def test_image_without_a_platform_is_refused(registry: Registry, found: list[Any]) -> None:
    """If the image is not for exactly the two platforms, the release fails."""
    registry.write(index={"manifests": found})
    code, said = registry.verifies()
    assert code == 1
    assert f"{IMAGE}@{INDEX} is for" in said


def test_tags_mean_what_was_looked_at(registry: Registry) -> None:
    """Both tags get the verified digest; the series' tag is moved."""
    registry.write(tags={"1.2": OTHER})
    assert registry.tags("1.2.3", "1.2") == (0, "")
    assert registry.read()["tags"] == {"1.2.3": INDEX, "1.2": INDEX}


def test_version_never_moves(registry: Registry) -> None:
    """If a version's tag has another digest, the step fails before any tag is moved."""
    registry.write(tags={"1.2.3": OTHER, "1.2": OTHER})
    code, said = registry.tags("1.2.3", "1.2")
    assert code == 1
    assert "never moves" in said
    assert registry.read()["tags"] == {"1.2.3": OTHER, "1.2": OTHER}


def test_tags_are_given_once_more(registry: Registry) -> None:
    """If the step was interrupted, running it again succeeds."""
    registry.write(tags={"1.2.3": INDEX})
    assert registry.tags("1.2.3", "1.2") == (0, "")
    assert registry.read()["tags"] == {"1.2.3": INDEX, "1.2": INDEX}


def test_registry_that_cannot_be_asked_is_no_free_tag(registry: Registry) -> None:
    """If the registry returns an error, no tag is set."""
    registry.write(broken=True)
    code, said = registry.tags("1.2.3")
    assert code == 1
    assert "503" in said
    assert registry.read()["tags"] == {}


def test_tag_that_means_something_else_in_the_end_is_told(registry: Registry) -> None:
    """If a tag has another digest than the signed one afterwards, the release fails."""
    registry.write(lands_on=OTHER)
    code, said = registry.tags("1.2")
    assert code == 1
    assert OTHER in said
