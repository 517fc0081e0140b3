"""What is in the Helm chart's objects: rules, dashboards, names, what restarts a pod."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest
import yaml

from tests.chart.helm import (
    CHART,
    JOB,
    MINIMAL,
    NAMESPACE,
    RELEASE,
    ROOT,
    Helm,
    Manifest,
    container,
    one,
    pod_template,
)
from tests.real.programs import program

RULES = sorted((ROOT / "monitoring" / "rules").glob("*.yaml"))
DASHBOARDS = sorted((ROOT / "monitoring" / "dashboards").glob("*.json"))


def test_dashboards_are_those_of_the_project(helm: Helm) -> None:
    """Each dashboard has a ConfigMap, with the labels that a sidecar looks for."""
    arguments = (
        "--set=dashboards.enabled=true",
        "--set=dashboards.namespace=grafana",
        "--set=rules.settings.exporter_job=flashback-exporter",
        "--set=dashboards.annotations.grafana_folder=Flashback",
    )
    rendered = helm.render(*MINIMAL, *arguments)
    found = [each for each in rendered if "grafana_dashboard" in each["metadata"]["labels"]]
    texts = {name: text for each in found for name, text in each["data"].items()}
    assert DASHBOARDS
    for each in found:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    assert texts == {file.name: file.read_text().strip() for file in DASHBOARDS}
    for each in (each["metadata"] for each in found):
        assert each["labels"]["grafana_dashboard"] == "1"
        assert each["namespace"] == "grafana"
        assert each["annotations"] == {"grafana_folder": "Flashback"}


def test_dashboards_look_for_the_exporter_under_its_job(helm: Helm) -> None:
    """Where the rules' job is another one, the dashboards' is the same; nothing else changes."""
    arguments = ("--set=dashboards.enabled=true", "--set=rules.settings.exporter_job=fb")
    rendered = helm.render(*MINIMAL, *arguments)
    texts = [
        text
        for each in rendered
        if "grafana_dashboard" in each["metadata"]["labels"]
        for text in each["data"].values()
    ]
    job = r"job=\"flashback-exporter\""
    plain = sorted(file.read_text().strip() for file in DASHBOARDS)
    assert any(job in each for each in plain)
    assert sorted(texts) == sorted(each.replace(job, r"job=\"fb\"") for each in plain)


def test_dashboards_are_left_out_by_default(helm: Helm) -> None:
    """Nothing tells whether there is a sidecar: the one ConfigMap is the configuration."""
    assert one(helm.render(*MINIMAL), "ConfigMap")["data"].keys() == {"config.yaml"}


def test_package_has_every_file(helm: Helm, tmp_path: Path) -> None:
    """The package has the project's own rules, dashboards and license, and no other files."""
    helm.run("package", str(CHART), f"--destination={tmp_path}")
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        members = {each.name.partition("/")[2]: each for each in archive if each.isfile()}
        for place, file in {
            "LICENSE": ROOT / "LICENSE",
            **{f"files/rules/{each.name}": each for each in RULES},
            **{f"files/dashboards/{each.name}": each for each in DASHBOARDS},
        }.items():
            packed = archive.extractfile(members[place])
            assert packed is not None
            assert packed.read() == file.read_bytes()
    beside = {str(each.relative_to(CHART)) for each in CHART.rglob("*") if each.is_file()}
    assert {each for each in members if not each.startswith("files/")} <= beside
    enabled = ("--set=rules.enabled=true", "--set=dashboards.enabled=true")
    packed_render = helm.render(*MINIMAL, *enabled, chart=package)
    assert packed_render == helm.render(*MINIMAL, *enabled)


def template_with(helm: Helm, *arguments: str) -> Manifest:
    """The pods with further arguments; another one restarts them."""
    return pod_template(helm.render(*MINIMAL, *arguments))


@pytest.mark.parametrize(
    ("arguments", "restarts"),
    [
        (["--set=account.buckets={b1,b3}"], False),
        (["--set=config.global.poll_interval=2m"], False),
        (["--set=service.labels.a=b", "--set=serviceMonitor.enabled=true"], False),
        (["--set=shards=2"], True),
        (["--set=log.level=debug"], True),
        (["--set=web.existingSecret=w"], True),
        (["--set=image.tag=other"], True),
    ],
    ids=lambda value: value[0].removeprefix("--set=") if isinstance(value, list) else None,
)
def test_only_what_cannot_be_reloaded_restarts(
    helm: Helm, arguments: list[str], *, restarts: bool
) -> None:
    """Another configuration leaves the pods as they are; flags, image and shards do not."""
    assert (template_with(helm) != template_with(helm, *arguments)) is restarts


def test_another_version_of_the_chart_alone_restarts_nothing(helm: Helm, tmp_path: Path) -> None:
    """Of the chart itself, pods have nothing in them; its image is what changes them."""
    helm.run("package", str(CHART), "--version=9.9.9", f"--destination={tmp_path}")
    (package,) = tmp_path.glob("*.tgz")
    assert pod_template(helm.render(*MINIMAL, chart=package)) == template_with(helm)


def test_configuration_restarts_where_it_is_not_reloaded(helm: Helm) -> None:
    """Without a reload interval, pods carry a checksum of their configuration."""
    off = "--set-string=configReloadInterval=0"
    assert template_with(helm, off) == template_with(helm, off)
    assert template_with(helm, off) != template_with(helm, off, "--set=account.buckets={b9}")


def schemes(manifests: list[Manifest]) -> set[str]:
    """How the probes ask."""
    exporter = container(manifests)
    probes = [exporter[f"{name}Probe"] for name in ("startup", "liveness", "readiness")]
    return {each.get("httpGet", {"scheme": "TCP"})["scheme"] for each in probes}


@pytest.mark.parametrize(
    ("arguments", "scheme", "probes"),
    [
        ([], "http", "HTTP"),
        (["--set=web.existingSecret=w"], "http", "HTTP"),
        (["--set=web.existingSecret=w", "--set=web.tls=true"], "https", "HTTPS"),
        (
            [
                "--set=web.existingSecret=w",
                "--set=web.tls=true",
                "--set=web.clientCertificates=true",
            ],
            "https",
            "TCP",
        ),
    ],
    ids=["open", "passwords", "TLS", "client certificates"],
)
def test_everybody_asks_as_the_endpoints_want(
    helm: Helm, arguments: list[str], scheme: str, probes: str
) -> None:
    """Probes, ServiceMonitor and notes know of TLS; probes need no password, and no certificate."""
    rendered = helm.render(*MINIMAL, "--set=serviceMonitor.enabled=true", *arguments)
    (endpoint,) = one(rendered, "ServiceMonitor")["spec"]["endpoints"]
    flags = container(rendered)["args"]
    tested = [each["spec"]["containers"][0]["args"] for each in rendered if each["kind"] == "Pod"]
    assert endpoint["scheme"] == scheme
    assert schemes(rendered) == {probes}
    assert ("--web.health-without-auth" in flags) == bool(arguments)
    assert all(addresses[1].startswith(f"{scheme}://") for addresses in tested)
    assert bool(tested) == (probes != "TCP")


def test_a_parent_chart_may_switch_it_off(helm: Helm, tmp_path: Path) -> None:
    """As a dependency with a condition and global values, it is still content with its values."""
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    helm.run("package", str(CHART), f"--destination={parent / 'charts'}")
    name = CHART.name
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    dependency = {"name": name, "version": version, "condition": f"{name}.enabled"}
    about = {"apiVersion": "v2", "name": "parent", "version": "0.1.0", "dependencies": [dependency]}
    child = {"enabled": True, "credentials": {"existingSecret": "s"}, "account": {"buckets": ["b"]}}
    (parent / "Chart.yaml").write_text(json.dumps(about))
    (parent / "values.yaml").write_text(json.dumps({"global": {"a": 1}, name: child}))
    assert one(helm.render(chart=parent), "StatefulSet")
    assert helm.render(f"--set={name}.enabled=false", chart=parent) == []


@pytest.mark.parametrize("closed", ["dnsPorts", "ports"])
def test_no_ports_are_not_all_ports(helm: Helm, closed: str) -> None:
    """A list of ports that is emptied closes the way out instead of opening every port."""
    empty = f"--set-json=networkPolicy.egress.{closed}=[]"
    policy = one(helm.render(*MINIMAL, "--set=networkPolicy.enabled=true", empty), "NetworkPolicy")
    assert len(policy["spec"]["egress"]) == 1
    assert all(rule["ports"] for rule in policy["spec"]["egress"])


def test_long_names_with_dots_are_names(helm: Helm) -> None:
    """Whatever Helm takes as a release's name makes names that Kubernetes takes, for pods too."""
    release = f"flash.{'x' * 45}-1"
    command = ("template", release, str(CHART), *MINIMAL)
    names = re.findall(r"^  name: (.+)$", helm.run(*command), re.MULTILINE)
    assert names
    assert all(re.fullmatch(r"[a-z][-a-z0-9]{,61}[a-z0-9]", name) for name in names)
    stateful_set = min(names, key=len)
    assert len(f"{stateful_set}-{'0' * 10}") <= 63


def test_platform_may_choose_the_user(helm: Helm) -> None:
    """Where numbers are given out, as on OpenShift, null leaves the chart's own out."""
    numbers = ("runAsUser", "runAsGroup", "fsGroup")
    free = "--set=" + ",".join(f"podSecurityContext.{each}=null" for each in numbers)
    rendered = helm.render(*MINIMAL, free)
    for spec in (pod_template(rendered)["spec"], one(rendered, "Pod")["spec"]):
        assert spec["securityContext"].keys() == {"runAsNonRoot", "seccompProfile"}


def test_job_is_the_one_that_rules_look_for(helm: Helm) -> None:
    """Each release is a job of its own, and its rules look at nothing else."""
    job = "--set=rules.settings.exporter_job=storage-exporter"
    for arguments, expected in (((), JOB), ((job,), "storage-exporter")):
        made = ("--set=serviceMonitor.enabled=true", "--set=rules.enabled=true", *arguments)
        rendered = helm.render(*MINIMAL, *made)
        (endpoint,) = one(rendered, "ServiceMonitor")["spec"]["endpoints"]
        assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": expected}]
        groups = one(rendered, "PrometheusRule")["spec"]["groups"]
        (absent,) = (
            rule["expr"]
            for group in groups
            for rule in group["rules"]
            if rule.get("alert") == "FlashbackExporterAbsent"
        )
        assert absent == f'absent(up{{job="{expected}",namespace="{NAMESPACE}"}})'


def test_notes_tell_how_to_go_on(case: Path) -> None:
    """After an install, the notes name the pods and say whether anything scrapes them.

    Helm 4 alone: Helm 3 shows notes to nobody without a cluster.
    """
    helm = Helm(program("helm"))
    command = ("install", RELEASE, str(CHART), "--dry-run=client", f"--values={case}")
    notes = helm.run(*command).partition("NOTES:\n")[2]
    assert re.search(r"port-forward pod/\S+-0 \d+\n  https?://127\.0\.0\.1:\d+/", notes)
    assert ("The ServiceMonitor" in notes) != ("dns_sd_configs" in notes)
