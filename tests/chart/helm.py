"""Runs Helm on the chart, and finds objects in what it renders."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "flashback-exporter"
CASES = sorted((CHART / "ci").glob("*-values.yaml"))
"""Values files, named as chart-testing expects them."""

OPERATOR = "monitoring.coreos.com/v1"
KINDS = (f"{OPERATOR}/ServiceMonitor", f"{OPERATOR}/PrometheusRule")
"""The kinds of the Prometheus operator, as for `--api-versions`."""

RELEASE = "metrics"
NAMESPACE = "storage"
JOB = f"{RELEASE}-flashback-exporter"
"""The release's full name."""
MINIMAL = ("--set=credentials.existingSecret=flashback", "--set=account.buckets={b1,b2}")

Manifest: TypeAlias = dict[str, Any]


GO_ERRORS = (
    "error calling",
    "nil pointer",
    "wrong type",
    "executing",
    "can't evaluate",
    "YAML parse",
)
"""Parts of Helm's template errors that do not say which value is wrong."""


class RefusedError(Exception):
    """Helm failed; the text is its output."""


@dataclass(frozen=True)
class Helm:
    """A version of Helm; every method raises RefusedError if Helm fails."""

    path: str

    def run(self, *arguments: str) -> str:
        """Helm's output, including warnings of `lint`."""
        done = subprocess.run([self.path, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RefusedError(done.stderr + done.stdout)
        return done.stdout

    def render(
        self,
        *arguments: str,
        chart: Path = CHART,
        release: str = RELEASE,
        namespace: str = NAMESPACE,
    ) -> list[Manifest]:
        """The objects of `helm template`, in the order of kind and name."""
        command = ("template", release, str(chart), f"--namespace={namespace}", *arguments)
        documents = [each for each in yaml.safe_load_all(self.run(*command)) if each]
        return sorted(documents, key=lambda each: (each["kind"], each["metadata"]["name"]))


def one(manifests: list[Manifest], kind: str) -> Manifest:
    """The only object of a kind."""
    (found,) = (each for each in manifests if each["kind"] == kind)
    return found


def workload(manifests: list[Manifest]) -> Manifest:
    """The Deployment or StatefulSet that creates the exporter's pods."""
    (found,) = (each for each in manifests if each["kind"] in ("Deployment", "StatefulSet"))
    return found


def pod_template(manifests: list[Manifest]) -> Manifest:
    """The template of the exporter's pods."""
    template: Manifest = workload(manifests)["spec"]["template"]
    return template


def container(manifests: list[Manifest]) -> Manifest:
    """The exporter's container."""
    found: Manifest = pod_template(manifests)["spec"]["containers"][0]
    return found


def golden_text(manifests: list[Manifest]) -> str:
    """The objects as one YAML file, identical for every version of Helm.

    Without the rules, which are in separate files.
    """
    shown = [
        each | {"spec": {}} if each["kind"] == "PrometheusRule" else each for each in manifests
    ]
    return yaml.dump_all(
        shown, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=100, indent=2
    )


def golden(case: Path) -> Path:
    """The golden file with the objects of a case."""
    return Path(__file__).parent / "golden" / case.name.replace("-values", "")


def with_operator(case: Path) -> tuple[str, ...]:
    """The arguments for a case in a cluster with the operator."""
    return (f"--values={case}", *(f"--api-versions={kind}" for kind in KINDS))


class _Dumper(yaml.SafeDumper):
    """Writes multi-line texts as block scalars."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
