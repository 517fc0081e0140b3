"""The objects that the chart renders for each case, as in the golden files.

tests/real/chart checks that both versions of Helm render exactly these.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest
import trustme
import yaml

from exporter.cli import flags
from exporter.cli.commands import COMMANDS
from tests.chart.helm import (
    CASES,
    CHART,
    OPERATOR,
    Manifest,
    container,
    golden,
    one,
    pod_template,
    workload,
)

GATEWAY = "gateway.networking.k8s.io/v1"
IMAGES = {
    "minimal": "ghcr.io/flashback-exporter",
    "page": "mirror.example.com/flashback-exporter",
    "everything": "mirror.example.com:5000/flashback-exporter",
}
OLDEST = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"].strip(">=").split("-")[0]


def manifests(case: Path) -> list[dict[str, Any]]:
    """The objects that the chart renders for a case."""
    return list(yaml.safe_load_all(golden(case).read_text()))


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_kubernetes_takes_every_object(case: Path, version: str) -> None:
    """Every object is valid for the schemas of the oldest and the newest Kubernetes."""
    for manifest in manifests(case):
        # The operator's objects are checked against its models, and HTTPRoute has its own test.
        if manifest["apiVersion"] not in (OPERATOR, GATEWAY):
            kubernetes_validate.validate(manifest, version, strict=True)


def test_every_object_is_in_some_case() -> None:
    """Every kind in the chart's templates occurs in a golden file."""
    kinds = {each["kind"] for case in CASES for each in manifests(case)}
    texts = [file.read_text() for file in (CHART / "templates").rglob("*.yaml")]
    made = {kind for text in texts for kind in re.findall(r"^kind: (\w+)$", text, re.MULTILINE)}
    assert kinds == made


def configuration(manifests: list[Manifest]) -> str:
    """The exporter's configuration."""
    maps = (each["data"] for each in manifests if each["kind"] == "ConfigMap")
    (text,) = (data["config.yaml"] for data in maps if "config.yaml" in data)
    return str(text)


def laid_out(directory: Path, manifests: list[Manifest]) -> Path:
    """Write the configuration and its files as the pod has them, and return the configuration."""
    config = directory / "config.yaml"
    config.write_text(configuration(manifests))
    for name in re.findall(r"_file: (\S+)", config.read_text()):
        (directory / name).write_text("secret")
    (directory / "partner-ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    (directory / "partner-buckets.yaml").write_text("- 65f1c0fff0\n")
    return config


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_exporter_takes_the_configuration(case: Path, tmp_path: Path) -> None:
    """`check` accepts the rendered configuration and the files that it names."""
    config = laid_out(tmp_path, manifests(case))
    environ = os.environ | {"FLASHBACK_TOKEN": "t", "PROXY_PASSWORD": "p"}
    command = (sys.executable, "-m", "exporter", "check", f"--config.file={config}")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{config}: valid\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_exporter_takes_the_flags(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter accepts the rendered flags, with its ordinal from the StatefulSet pod's name."""
    ordinal = "0" if workload(manifests(case))["kind"] == "StatefulSet" else "58c7d6f9b-x2v9q"
    monkeypatch.setattr("socket.gethostname", lambda: f"metrics-flashback-{ordinal}")
    rendered = container(manifests(case))
    values = flags.parse(flags.parser("run", ""), COMMANDS["run"].flags, rendered["args"], {})
    port = {"name": "metrics", "containerPort": values["web.listen-address"][0].port}
    assert rendered["ports"] == [port | {"protocol": "TCP"}]
    assert values["shard.ordinal"] == 0
    assert {"config.file", "config.auto-reload-interval", "shard.total"} <= values.given


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_number_of_shards_is_that_of_replicas(case: Path) -> None:
    """--shard.total is the number of replicas."""
    replicas = workload(manifests(case))["spec"]["replicas"]
    assert f"--shard.total={replicas}" in container(manifests(case))["args"]


@pytest.mark.parametrize(("case", "image"), IMAGES.items(), ids=IMAGES)
def test_registry_takes_the_place_of_the_repository_s(case: str, image: str) -> None:
    """A registry, global or of the chart, replaces the registry in the image repository."""
    (found,) = (each for each in CASES if each.name == f"{case}-values.yaml")
    assert container(manifests(found))["image"].startswith(f"{image}/flashback-exporter")


def test_page_is_reached_through_a_service_that_nobody_scrapes() -> None:
    """Ingress and HTTPRoute use a Service and port that the ServiceMonitor does not select."""
    (case,) = (each for each in CASES if each.name == "page-values.yaml")
    found = manifests(case)
    page, scraped = (
        next(each for each in found if each["kind"] == "Service" and is_headless(each) is headless)
        for headless in (False, True)
    )
    (port,) = page["spec"]["ports"]
    backends = [
        path["backend"]["service"]
        for rule in one(found, "Ingress")["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]
    service = {"name": page["metadata"]["name"], "port": {"name": port["name"]}}
    assert backends == [service, service]
    (rule,) = one(found, "HTTPRoute")["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": page["metadata"]["name"], "port": port["port"]}]
    selector = one(found, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    assert selector <= scraped["metadata"]["labels"].items()
    assert not selector <= page["metadata"]["labels"].items()


def is_headless(service: Manifest) -> bool:
    """Whether a Service is headless."""
    return bool(service["spec"].get("clusterIP") == "None")


def is_restricted(spec: dict[str, Any]) -> bool:
    """Whether a pod meets the restricted Pod Security Standard and has no service account token."""
    pod = spec["securityContext"]
    return (
        pod["runAsNonRoot"] is True
        and pod["runAsUser"] > 0
        and pod["seccompProfile"] == {"type": "RuntimeDefault"}
        and spec["automountServiceAccountToken"] is False
        and spec["enableServiceLinks"] is False
        and not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
        and not any("hostPath" in volume for volume in spec.get("volumes", []))
        and all(is_confined(each["securityContext"]) for each in spec["containers"])
    )


def is_confined(context: dict[str, Any]) -> bool:
    """Whether a container cannot gain privileges."""
    return (
        context["allowPrivilegeEscalation"] is False
        and context["capabilities"] == {"drop": ["ALL"]}
        and not context.get("privileged")
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_pods_are_restricted(case: Path) -> None:
    """Every pod meets the restricted standard and has a read-only root filesystem."""
    found = manifests(case)
    specs = [each["spec"] for each in found if each["kind"] == "Pod"]
    specs.append(pod_template(found)["spec"])
    assert all(is_restricted(spec) for spec in specs)
    assert all(spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] for spec in specs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_service_and_policy_select_the_exporter_alone(case: Path) -> None:
    """Selectors match the shards' pods, and not the pod of `helm test`."""
    found = manifests(case)
    labels = pod_template(found)["metadata"]["labels"].items()
    tests = [each["metadata"]["labels"].items() for each in found if each["kind"] == "Pod"]
    for kind, *path in (
        ("Service", "spec", "selector"),
        ("Deployment", "spec", "selector", "matchLabels"),
        ("StatefulSet", "spec", "selector", "matchLabels"),
        ("NetworkPolicy", "spec", "podSelector", "matchLabels"),
        ("PodDisruptionBudget", "spec", "selector", "matchLabels"),
    ):
        for selector in (each for each in found if each["kind"] == kind):
            for step in path:
                selector = selector[step]  # noqa: PLW2901 - one step further in
            assert selector.items() <= labels
            assert not any(selector.items() <= each for each in tests)
