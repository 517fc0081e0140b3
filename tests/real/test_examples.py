"""Examples of the documentation, checked by promtool, Helm and systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
import yaml

from tests.chart.helm import CHART, MINIMAL, Helm
from tests.harness.documents import ROOT, Example, code_words, examples, guard_in
from tests.harness.shell_lines import commands
from tests.real.programs import program

UNIT = ROOT / "deploy" / "systemd" / "flashback-exporter.service"
OF_UPGRADES = {"--reuse-values", "--reset-then-reuse-values"}
"""Flags of `helm upgrade` that `helm template` does not have: they say which values stay."""


def by_place(*kinds: str) -> pytest.MarkDecorator:
    """Parametrize a test with the documentation's examples of these kinds."""
    return pytest.mark.parametrize("example", examples(*kinds), ids=str)


def accepted(*command: str) -> None:
    """Run a command. If its exit code is not 0, fail with its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


PODS = {"Deployment", "StatefulSet"}
"""The kinds of the exporter's workload, with one shard and with several."""


@pytest.fixture(scope="session", params=["helm", pytest.param("helm3", marks=pytest.mark.long)])
def helm(request: pytest.FixtureRequest) -> Helm:
    """Each version of Helm that the chart supports."""
    return Helm(program(request.param))


def credentials_in(folder: Path) -> None:
    """Write the files that docs/security.md gives Prometheus."""
    authority = trustme.CA()
    client = authority.issue_cert("prometheus.example.com")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    client.cert_chain_pems[0].write_to_path(folder / "client.pem")
    client.private_key_pem.write_to_path(folder / "client.key")
    (folder / "password").write_text("secret")


@by_place("prometheus")
def test_prometheus_takes_the_configuration(
    example: Example, promtool_path: str, tmp_path: Path
) -> None:
    """Promtool accepts each scrape configuration, with the rules and credentials that it names."""
    shutil.copytree(ROOT / "monitoring" / "rules", tmp_path, dirs_exist_ok=True)
    credentials_in(tmp_path)
    file = tmp_path / "prometheus.yml"
    file.write_text(example.text)
    accepted(promtool_path, "check", "config", str(file))


@by_place("rules")
def test_prometheus_takes_the_rules(example: Example, promtool_path: str, tmp_path: Path) -> None:
    """Promtool accepts each example of rules without a warning."""
    file = tmp_path / "rules.yaml"
    file.write_text(example.text)
    accepted(promtool_path, "check", "rules", "--lint=all", "--lint-fatal", str(file))


@by_place("web configuration")
def test_toolkit_takes_the_web_configuration(
    example: Example, promtool_path: str, tmp_path: Path
) -> None:
    """Promtool accepts each web configuration, apart from a key that its older versions lack."""
    file = guard_in(tmp_path, example)
    known = re.sub(r"^ *client_allowed_sans:.*\n", "", file.read_text(), flags=re.MULTILINE)
    file.write_text(known)
    accepted(promtool_path, "check", "web-config", str(file))


@by_place("values")
def test_chart_renders_with_the_values(example: Example, helm: Helm, tmp_path: Path) -> None:
    """With each example of values, added to the required ones, the chart renders a workload."""
    file = tmp_path / "values.yaml"
    file.write_text(example.text)
    least = () if "config" in yaml.safe_load(example.text) else MINIMAL
    assert PODS & kinds(helm, *least, f"--values={file}")


def helm_flags() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The place and the flags of each documented `helm install`, `helm upgrade` and lone flag."""
    for example in examples("sh"):
        for words in commands(example.text):
            if words[:2] in (["helm", "install"], ["helm", "upgrade"]):
                yield str(example), tuple(word for word in words[4:] if word not in OF_UPGRADES)
    for page, code in code_words():
        if re.match("--(set|api-versions) ?", code) and " " in code:
            yield page, tuple(commands(code)[0])


@pytest.mark.parametrize(("place", "arguments"), list(helm_flags()))
def test_chart_renders_with_the_flags(place: str, arguments: tuple[str, ...], helm: Helm) -> None:
    """With the flags of each documented Helm command, the chart renders a workload."""
    polls = any(argument.startswith("account.") for argument in arguments)
    assert PODS & kinds(helm, *(() if polls else MINIMAL), *arguments), place


def kinds(helm: Helm, *arguments: str) -> set[str]:
    """The kinds of objects that the chart renders."""
    text = helm.run("template", "flashback", str(CHART), *arguments)
    return {each["kind"] for each in yaml.safe_load_all(text) if each}


@by_place("ini")
def test_systemd_takes_the_drop_in(example: Example, tmp_path: Path) -> None:
    """systemd-analyze finds no problem in the unit with the example's lines at its end."""
    unit = tmp_path / UNIT.name
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    unit.write_text(f"{text}\n{example.text}")
    command = (program("systemd-analyze"), "verify", "--man=no", str(unit))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
