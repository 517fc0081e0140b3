"""Renews the table in docs/compatibility.md: programs, the versions tested, and what for.

`make compatibility` writes it with the installed versions. What a program is used for comes from
the docstrings of the test files.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import yaml

from tests.chart.helm import CHART
from tests.real.programs import TOOLS, program

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- make compatibility writes what is below -->\n", "<!-- until here -->"
CI = ROOT / ".github" / "workflows" / "ci.yaml"

Versions: TypeAlias = Mapping[str, tuple[str, str]]
"""By row: the oldest and the current version. The oldest may be empty."""


class Tested(NamedTuple):
    """A row: what is tested in one or two versions."""

    name: str
    uses: str  # a pattern that matches lines of the test files that use it
    package: str = ""  # the Debian package, if both versions come from Debian
    oldest: str = ""  # otherwise: programs in the PATH
    current: str = ""

    def files(self) -> Iterator[Path]:
        for file in sorted(Path(__file__).parent.rglob("test_*.py")):
            if re.search(self.uses, file.read_text()):
                yield file

    def versions(self) -> tuple[str, str]:
        """The installed versions."""
        if self.package:
            return _packaged("oldest", self.package), _packaged("current", self.package)
        return self.oldest and _version(self.oldest), _version(self.current)


TESTED = (
    Tested("Prometheus, promtool", r"\bprom(etheus|tool)_path\b", "prometheus"),
    Tested("Alertmanager, amtool", r"\b(alertmanager|amtool)_path\b", "prometheus-alertmanager"),
    Tested("VictoriaMetrics", r"\bvictoria_metrics_path\b|vmalert", "victoria-metrics"),
    Tested("Helm", r"\bhelm: Helm\b", oldest="helm3", current="helm"),
    Tested("podman, buildah", r"\bengine: Engine\b", current="podman"),
    Tested("systemd", r"systemd-analyze", current="systemd-analyze"),
    Tested("Chromium", r"\bbrowser: Browser\b", current="chromium"),
)


def installed() -> Versions:
    """The versions that the tests run with on this machine."""
    return {tested.name: tested.versions() for tested in TESTED}


def recorded() -> Versions:
    """The versions on the page."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]*) \| ([^|]+) \| .*tests/real", _table(), re.MULTILINE)
    return {name: (oldest.strip(), current) for name, oldest, current in rows}


def rendered(versions: Versions) -> str:
    """The page with these versions."""
    head, rest = PAGE.read_text().split(BEGIN)
    lines = ["| program | oldest | current | what is tested with it |", "|---|---|---|---|"]
    lines += [_row(tested, *versions[tested.name]) for tested in TESTED]
    oldest, newest = kubernetes()
    lines.append(f"| Kubernetes, its API | {oldest} | {newest} | the chart's manifests |")
    first, last = pythons()
    lines.append(f"| Python | {first} | {last} | everything, on each version between them |")
    lines += ["", *sorted({line for tested in TESTED for line in _descriptions(tested)})]
    return "".join(
        (head, BEGIN, "\n", *(f"{line}\n" for line in lines), "\n", END, rest.split(END)[1])
    )


def kubernetes() -> tuple[str, str]:
    """The oldest and the newest Kubernetes API that the chart's manifests are checked against."""
    needed = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    return needed.strip(">=").split("-")[0].removesuffix(".0"), kubernetes_validate.latest_version()


def pythons() -> tuple[str, str]:
    """The first and the last Python version in the CI workflow."""
    found = yaml.safe_load(CI.read_text())["jobs"]["test"]["strategy"]["matrix"]["python"]
    return found[0], found[-1]


def _row(tested: Tested, oldest: str, current: str) -> str:
    files = ", ".join(f"[{_name(file)}](../{file.relative_to(ROOT)})" for file in tested.files())
    return f"| {tested.name} | {oldest} | {current} | {files} |"


def _descriptions(tested: Tested) -> Iterator[str]:
    for file in tested.files():
        first = (ast.get_docstring(ast.parse(file.read_text())) or "").splitlines()[0]
        yield f"- **{_name(file)}**: {first}"


def _name(file: Path) -> str:
    return file.stem.removeprefix("test_").replace("_", " ")


def _table() -> str:
    return PAGE.read_text().split(BEGIN)[1].split(END)[0]


def _packaged(generation: str, package: str) -> str:
    text = (TOOLS / generation / "versions").read_text()
    found = re.search(rf"^{package} ([\d.]+)", text, re.MULTILINE)
    assert found is not None, text
    return found[1]


def _version(name: str) -> str:
    flag = "version" if name.startswith("helm") else "--version"
    done = subprocess.run([program(name), flag], capture_output=True, text=True, check=True)
    found = re.search(r"\d+(\.\d+)*", done.stdout)
    assert found is not None, done.stdout
    return found[0]


if __name__ == "__main__":
    PAGE.write_text(rendered(installed()))
