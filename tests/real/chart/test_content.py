"""The Helm chart's objects: rules, dashboards, names and what restarts a pod."""

from __future__ import annotations

import base64
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest
import yaml

from exporter.cli import flags
from exporter.cli.commands import COMMANDS
from tests.chart.helm import (
    CHART,
    JOB,
    MINIMAL,
    NAMESPACE,
    OPERATOR,
    RELEASE,
    ROOT,
    Helm,
    Manifest,
    container,
    one,
    pod_template,
    workload,
)
from tests.real.programs import program

RULES = sorted((ROOT / "monitoring" / "rules").glob("*.yaml"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
DASHBOARDS = sorted((ROOT / "monitoring" / "dashboards").glob("*.json"))


def test_dashboards_are_those_of_the_project(helm: Helm) -> None:
    """Each dashboard is in a ConfigMap with the label and annotation for Grafana's sidecar."""
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
    """The rules' `exporter_job` replaces the job in the dashboards, and nothing else changes."""
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
    """By default the configuration is the only ConfigMap, because Helm cannot detect a sidecar."""
    assert one(helm.render(*MINIMAL), "ConfigMap")["data"].keys() == {"config.yaml"}


def test_package_has_every_file(helm: Helm, tmp_path: Path) -> None:
    """The packaged chart has the project's rules, dashboards and license, and renders the same."""
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
    """The pod template, rendered with more arguments. If it changes, the pods restart."""
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
    """A changed configuration does not restart the pods; changed flags, image or shards do."""
    assert (template_with(helm) != template_with(helm, *arguments)) is restarts


def test_another_version_of_the_chart_alone_restarts_nothing(helm: Helm, tmp_path: Path) -> None:
    """A new version of the chart with the same image does not restart pods."""
    helm.run("package", str(CHART), "--version=9.9.9", f"--destination={tmp_path}")
    (package,) = tmp_path.glob("*.tgz")
    assert pod_template(helm.render(*MINIMAL, chart=package)) == template_with(helm)


def test_configuration_restarts_where_it_is_not_reloaded(helm: Helm) -> None:
    """With a reload interval of 0, a changed configuration restarts the pods."""
    off = "--set-string=configReloadInterval=0"
    assert template_with(helm, off) == template_with(helm, off)
    assert template_with(helm, off) != template_with(helm, off, "--set=account.buckets={b9}")


def schemes(manifests: list[Manifest]) -> set[str]:
    """The schemes of the probes."""
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
def test_probes_and_monitor_use_server_scheme(
    helm: Helm, arguments: list[str], scheme: str, probes: str
) -> None:
    """Probes, ServiceMonitor and Helm tests use the server's scheme; probes need no credentials."""
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
    """A parent chart can pass global values, and can disable the chart by a condition."""
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
    assert workload(helm.render(chart=parent))
    assert helm.render(f"--set={name}.enabled=false", chart=parent) == []


@pytest.mark.parametrize("closed", ["dnsPorts", "ports"])
def test_empty_ports_allow_no_egress(helm: Helm, closed: str) -> None:
    """An empty list of ports removes its egress rule instead of allowing every port."""
    empty = f"--set-json=networkPolicy.egress.{closed}=[]"
    policy = one(helm.render(*MINIMAL, "--set=networkPolicy.enabled=true", empty), "NetworkPolicy")
    assert len(policy["spec"]["egress"]) == 1
    assert all(rule["ports"] for rule in policy["spec"]["egress"])


@pytest.mark.parametrize(
    "release", [f"flash.{'x' * 45}-1", "123", f"1.{'x' * 30}", f"a{'-' * 51}b"]
)
def test_every_release_s_name_makes_names(helm: Helm, release: str) -> None:
    """Every release name that Helm accepts gives objects and pods valid names."""
    rendered = helm.render(*MINIMAL, "--set=shards=2", release=release)
    names = {each["metadata"]["name"] for each in rendered}
    assert all(re.fullmatch(r"[a-z]([-a-z0-9]{,61}[a-z0-9])?", name) for name in names)
    assert len(f"{workload(rendered)['metadata']['name']}-{'0' * 10}") <= 63


ODD = {
    "account": {"buckets": ["1e3", "true", "null"]},
    "credentials": {"data": {"token": "0123", "1": "~"}},
    "web": {"telemetryPath": "/x:"},
    "image": {"tag": "1e3"},
    "shards": 1,
    "configReloadInterval": "0s",
    "commonLabels": {"a": "1", "b": "true", "c": ""},
    "podAnnotations": {"a": "0123", "b": "no", "c": "{{ .Release.Name }}", "d": "x: y #"},
    "priorityClassName": "1",
    "serviceAccount": {"name": "2"},
    "env": {"A": True, "B": 3000000, "C": "01", "D": "{{ .Release.Namespace }}"},
    "serviceMonitor": {"enabled": True, "sampleLimit": 5000000},
    "rules": {
        "enabled": True,
        "settings": {"certificate_expiry_seconds": 2592000},
        "extraGroups": [{"name": "1", "rules": [{"alert": "true", "expr": "1"}]}],
    },
    "extraManifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "1"}}],
}


def test_strings_are_quoted(helm: Helm, tmp_path: Path) -> None:
    """Strings that look like other types are quoted, and large numbers have no exponent."""
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(ODD))
    rendered = helm.render(f"--values={file}", release="123", namespace="456")
    for each in rendered:
        if each["apiVersion"] != OPERATOR:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    assert {each["metadata"].get("namespace", "456") for each in rendered} == {"456"}
    assert base64.b64decode(one(rendered, "Secret")["data"]["token"]) == b"0123"
    assert one(rendered, "ServiceMonitor")["spec"]["sampleLimit"] == 5000000
    assert "--web.telemetry-path=/x:" in container(rendered)["args"]
    texts = {each["name"]: each["value"] for each in container(rendered)["env"]}
    assert texts == {"A": "true", "B": "3000000", "C": "01", "D": "456"}
    annotations = pod_template(rendered)["metadata"]["annotations"]
    assert [annotations[each] for each in "abcd"] == ["0123", "no", "123", "x: y #"]
    assert "checksum/config" in annotations
    assert "2592000" in json.dumps(one(rendered, "PrometheusRule"))


NEEDED: dict[str, Any] = {
    "account": {"buckets": ["b1", "b2"]},
    "credentials": {"existingSecret": "flashback"},
}
"""The values that the chart requires, the same as in `MINIMAL`."""


def rendered_with(helm: Helm, folder: Path, values: dict[str, Any]) -> list[Manifest]:
    """The objects that the chart renders with these values, each valid for Kubernetes."""
    file = folder / "values.yaml"
    file.write_text(json.dumps(values))
    rendered = helm.render(f"--values={file}")
    for each in rendered:
        if each["apiVersion"] != OPERATOR:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    return rendered


def test_null_is_the_default_or_nothing(helm: Helm, tmp_path: Path) -> None:
    """With each top-level value null, flags have their defaults and optional parts are omitted."""
    values = dict.fromkeys(VALUES)
    inside = {"probes": {"startup": None}, "podLabels": {"a": None}}
    rendered = rendered_with(helm, tmp_path, values | NEEDED | inside)
    plain = container(helm.render(*MINIMAL))
    assert container(rendered)["args"] == plain["args"]
    assert "startupProbe" not in container(rendered)
    assert not container(rendered).keys() & {"resources", "securityContext", "env"}
    assert workload(rendered)["spec"]["strategy"]["type"] == "Recreate"


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - YAML
    """The paths of all leaves: values that are not mappings, and empty mappings."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


def nulls(*paths: tuple[str, ...]) -> dict[str, Any]:
    """Values with null at these paths."""
    found: dict[str, Any] = {}
    for *above, name in paths:
        place = found
        for step in above:
            place = place.setdefault(step, {})
        place[name] = None
    return found


def test_every_value_at_any_depth_may_be_null(helm: Helm, tmp_path: Path) -> None:
    """With every leaf of values.yaml null, flags, strategy and kinds of objects are defaults."""
    paths = [path for path in leaves(VALUES) if path not in NEEDED_PATHS]
    values = nulls(*paths)
    values["podSecurityContext"]["seccompProfile"] = None  # its only key is required
    for above, name in NEEDED_PATHS:
        values[above][name] = NEEDED[above][name]
    rendered = rendered_with(helm, tmp_path, values)
    assert ("probes", "startup", "periodSeconds") in paths
    plain = helm.render(*MINIMAL)
    assert container(rendered)["args"] == container(plain)["args"]
    assert workload(rendered)["spec"]["strategy"] == workload(plain)["spec"]["strategy"]
    assert [each["kind"] for each in rendered] == [each["kind"] for each in plain]


NEEDED_PATHS = {("account", "buckets"), ("credentials", "existingSecret")}
UNSET: dict[str, Any] = {
    "rules": {
        "settings": {"node_down_for": None, "down_statuses": None, "grafana_url": None},
        "alerts": {"FlashbackNodeDown": None, "FlashbackSchemaDrift": {"enabled": None}},
        "alertLabels": {"team": None},
        "extraGroups": [{"name": "a", "interval": None, "rules": [{"expr": "1", "for": None}]}],
    },
    "ingress": {"hosts": [{"host": "a.example.com", "paths": None}, {"host": "b.example.com"}]},
    "resources": {"limits": {"memory": None}},
    "strategy": {"rollingUpdate": None},
    "env": {"A": None},
}


def test_null_unsets_what_another_file_sets(helm: Helm, tmp_path: Path) -> None:
    """A null in settings, alerts, hosts and the like renders the same as a missing key."""
    enabled = {"rules": {"enabled": True}, "ingress": {"enabled": True}}
    given = {key: value | enabled.get(key, {}) for key, value in UNSET.items()}
    rendered = rendered_with(helm, tmp_path, NEEDED | given)
    gone = json.loads(json.dumps(given), object_hook=without_nulls)
    gone["resources"] = {"limits": {"memory": None}}  # without it the default would apply
    assert rendered == rendered_with(helm, tmp_path, NEEDED | gone)


def without_nulls(mapping: dict[str, Any]) -> dict[str, Any]:
    """The mapping without keys whose value is null."""
    return {key: value for key, value in mapping.items() if value is not None}


def test_null_in_the_configuration_is_left_out(helm: Helm, tmp_path: Path) -> None:
    """Nulls are left out of the rendered ConfigMap and Secret: the exporter would refuse them."""
    account: dict[str, Any] = {
        "name": "a",
        "discovery": {},
        "authorization": {"credentials_file": "token"},
    }
    unset = {
        **account,
        "poll_interval": None,
        "no_proxy": None,
        "login": None,
        "tls_config": {"cert_file": None},
        "authorization": account["authorization"] | {"credentials": None},
    }
    rendered = rendered_with(
        helm,
        tmp_path,
        {
            "credentials": {"data": {"token": "t", "old": None}},
            "config": {"global": {"poll_interval": None}, "accounts": [unset]},
        },
    )
    text = one(rendered, "ConfigMap")["data"]["config.yaml"]
    assert yaml.safe_load(text) == {"accounts": [{**account, "tls_config": {}}]}
    assert one(rendered, "Secret")["data"].keys() == {"token"}


@pytest.mark.parametrize(
    ("interval", "flag"),
    [('""', "0"), ('"0"', "0"), ("0", "0"), ('"292y"', "292y"), ("null", "30s")],
)
def test_reload_interval_is_a_duration_that_the_exporter_takes(
    helm: Helm, interval: str, flag: str
) -> None:
    """An empty interval becomes 0, with which a checksum of the configuration restarts the pods."""
    pods = template_with(helm, f"--set-json=configReloadInterval={interval}")
    arguments = pods["spec"]["containers"][0]["args"]
    assert f"--config.auto-reload-interval={flag}" in arguments
    flags.parse(flags.parser("run", ""), COMMANDS["run"].flags, arguments, {})  # exits if refused
    assert ("checksum/config" in pods["metadata"]["annotations"]) == (flag == "0")


@pytest.mark.parametrize(
    ("given", "made"),
    [('"1"', 1), ("1", 1), ("1000000", 1000000), ('"50%"', "50%"), ('"{{ add 1 1 }}"', 2)],
)
def test_numbers_of_pods_are_numbers(helm: Helm, given: str, made: int | str) -> None:
    """Numbers of pods are rendered as integers, as Kubernetes accepts only percentages as text."""
    budget = ("--set=podDisruptionBudget.enabled=true", f"--set-json={BUDGET}={given}")
    rolling = f'{{"type": "RollingUpdate", "rollingUpdate": {{"maxUnavailable": {given}}}}}'
    strategies = (f"--set-json=strategy={rolling}", f"--set-json=updateStrategy={rolling}")
    rendered = helm.render(*MINIMAL, *budget, *strategies)
    several = helm.render(*MINIMAL, *strategies, "--set=shards=2")
    found = (
        one(rendered, "PodDisruptionBudget")["spec"],
        workload(rendered)["spec"]["strategy"]["rollingUpdate"],
        workload(several)["spec"]["updateStrategy"]["rollingUpdate"],
    )
    assert [each["maxUnavailable"] for each in found] == [made] * 3


BUDGET = "podDisruptionBudget.maxUnavailable"


@pytest.mark.parametrize(
    ("values", "strategy"),
    [
        ("strategy=null", {"type": "Recreate", "rollingUpdate": None}),
        ('strategy={"type": null}', {"type": "Recreate", "rollingUpdate": None}),
        ('strategy={"type": "RollingUpdate"}', {"type": "RollingUpdate"}),
        ("updateStrategy=null", {"type": "RollingUpdate"}),
        ('updateStrategy={"type": "OnDelete"}', {"type": "OnDelete", "rollingUpdate": None}),
        (
            'updateStrategy={"rollingUpdate": {"partition": 1}}',
            {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
        ),
    ],
)
def test_strategy_type_is_explicit(helm: Helm, values: str, strategy: dict[str, Any]) -> None:
    """The type is always rendered, and rollingUpdate is null if the type does not use it."""
    name = values.partition("=")[0]
    shards = {"strategy": 1, "updateStrategy": 2}[name]
    rendered = helm.render(*MINIMAL, f"--set-json={values}", f"--set=shards={shards}")
    assert workload(rendered)["spec"][name] == strategy


def test_selector_of_a_spread_is_the_given_one(helm: Helm) -> None:
    """The chart adds its selector only to constraints without a labelSelector."""
    given = (
        '[{"maxSkew": 1}, {"labelSelector": {"matchLabels": {"a": "b"}}}, {"labelSelector": {}}]'
    )
    rendered = helm.render(*MINIMAL, f"--set-json=topologySpreadConstraints={given}")
    constraints = pod_template(rendered)["spec"]["topologySpreadConstraints"]
    assert [each["labelSelector"] for each in constraints] == [
        {"matchLabels": workload(rendered)["spec"]["selector"]["matchLabels"]},
        {"matchLabels": {"a": "b"}},
        {},
    ]


def test_registry_of_all_charts_may_be_a_template(helm: Helm) -> None:
    """A template in `global.imageRegistry` is evaluated; other global values are not."""
    given = {"imageRegistry": "{{ .Release.Name }}.example.com", "other": "{{ nofunc }}"}
    rendered = helm.render(*MINIMAL, f"--set-json=global={json.dumps(given)}")
    assert container(rendered)["image"].startswith(f"{RELEASE}.example.com/flashback-exporter/")


def test_manifests_may_be_several_in_a_text(helm: Helm) -> None:
    """A text in extraManifests may hold several objects, comments, or nothing."""
    first = "# First\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"
    second = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: b}\n"
    given = json.dumps([first + second, "", "# Nothing"])
    rendered = helm.render(*MINIMAL, f"--set-json=extraManifests={given}")
    secrets = [each["metadata"]["name"] for each in rendered if each["kind"] == "Secret"]
    assert secrets == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ('{{ "{{" }}', "{{"),
        ("{{ `}}` }}", "}}"),
        ("{{/* it's a comment */}}a}}", "a}}"),
        ("{{- .Release.Name -}} {{ .Release.Namespace }}", f"{RELEASE}{NAMESPACE}"),
        ('{{ print "\\"{{" }}', '"{{'),
    ],
)
def test_braces_in_templates_are_not_mistaken_for_templates(
    helm: Helm, text: str, filled: str
) -> None:
    """Templates are evaluated as Go parses them, also with braces in strings and comments."""
    argument = f"--set-json=podAnnotations.a={json.dumps(text)}"
    annotations = template_with(helm, argument)["metadata"]["annotations"]
    assert annotations["a"] == filled


def test_one_shard_outlives_its_node(helm: Helm) -> None:
    """One shard is a Deployment with the strategy Recreate; several are a StatefulSet."""
    one_shard, several = (helm.render(*MINIMAL, f"--set=shards={each}") for each in (1, 2))
    deployment, stateful_set = workload(one_shard), workload(several)
    assert (deployment["kind"], stateful_set["kind"]) == ("Deployment", "StatefulSet")
    assert deployment["spec"]["strategy"] == {"type": "Recreate", "rollingUpdate": None}
    assert {"--shard.ordinal=0", "--shard.total=1"} <= set(container(one_shard)["args"])
    assert {"--shard.ordinal=auto", "--shard.total=2"} <= set(container(several)["args"])
    assert deployment["metadata"]["name"] == stateful_set["metadata"]["name"]
    assert one(one_shard, "Service") == one(several, "Service")


def test_selector_never_changes(helm: Helm) -> None:
    """No value changes the workload's selector, which is immutable in Kubernetes."""
    changed = ("--set=nameOverride=flashback", "--set=commonLabels.a=b", "--set=podLabels.c=d")
    before = workload(helm.render(*MINIMAL, release="flashback-exporter"))
    after = workload(helm.render(*MINIMAL, *changed, release="flashback-exporter"))
    assert before["metadata"]["name"] == after["metadata"]["name"]
    assert before["spec"]["selector"] == after["spec"]["selector"]


OPERATED = ("--set=serviceMonitor.enabled=true,rules.enabled=true,dashboards.enabled=true",)


def jobs_and_uids(manifests: list[Manifest]) -> tuple[set[str], set[str]]:
    """The jobs in all objects, and the uids of dashboards and of links to them."""
    (endpoint,) = one(manifests, "ServiceMonitor")["spec"]["endpoints"]
    shown = [
        text for each in manifests if each["kind"] == "ConfigMap" for text in each["data"].values()
    ]
    text = "\n".join((*shown, json.dumps(one(manifests, "PrometheusRule")))).replace("\\", "")
    jobs = set(re.findall(r'job="([^"]*)"', text)) | {endpoint["relabelings"][0]["replacement"]}
    return jobs, set(re.findall(r'(?:"uid": "|/d/)([a-z][\w-]*)', text))


def test_two_releases_do_not_touch_each_other(helm: Helm) -> None:
    """Each release has its own objects, job and dashboards, and rules that select only its job."""
    first = helm.render(*MINIMAL, *OPERATED, release="one")
    prefix = "--set=dashboards.uidPrefix=flashback-two"
    second = helm.render(*MINIMAL, *OPERATED, prefix, release="two")
    (one_job, one_uids), (two_job, two_uids) = jobs_and_uids(first), jobs_and_uids(second)
    assert (one_job, two_job) == ({"one-flashback-exporter"}, {"two-flashback-exporter"})
    assert one_uids == {f"flashback-{each.stem.removeprefix('flashback-')}" for each in DASHBOARDS}
    assert two_uids == {
        f"flashback-two-{each.stem.removeprefix('flashback-')}" for each in DASHBOARDS
    }
    assert not places_of(first) & places_of(second)


def test_two_releases_of_a_name_may_share_the_operator_s_namespace(helm: Helm) -> None:
    """Releases of the same name in two namespaces do not conflict in the operator's namespace."""
    there = ("serviceMonitor.namespace", "rules.namespace", "dashboards.namespace")
    elsewhere = "--set=" + ",".join(f"{each}=monitoring" for each in there)
    first, second = (
        places_of(helm.render(*MINIMAL, *OPERATED, elsewhere, namespace=each)) for each in "ab"
    )
    assert {namespace for _, namespace, _ in first} == {"a", "monitoring"}
    assert not first & second


def places_of(manifests: list[Manifest]) -> set[tuple[str, str, str]]:
    """What identifies each object in a cluster: kind, namespace and name."""
    metadata = ((each["kind"], each["metadata"]) for each in manifests)
    return {(kind, each["namespace"], each["name"]) for kind, each in metadata}


def test_alerts_take_labels_beside_groups_of_one_s_own(helm: Helm, tmp_path: Path) -> None:
    """Alerts get the labels in alertLabels that they do not have, and extraGroups come last."""
    own = {"alert": "Own", "expr": "up == 0", "labels": {"team": "own"}}
    values = {
        "rules": {
            "enabled": True,
            "alertLabels": {"team": "storage", "severity": "none"},
            "extraGroups": [{"name": "own", "rules": [own, {"record": "a:b", "expr": "1"}]}],
        }
    }
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(values))
    groups = one(helm.render(*MINIMAL, f"--values={file}"), "PrometheusRule")["spec"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    alerts = {rule["alert"]: rule["labels"] for rule in rules if "alert" in rule}
    assert {each["team"] for name, each in alerts.items() if name != "Own"} == {"storage"}
    assert alerts["Own"] == {"team": "own", "severity": "none"}
    assert "none" not in {each["severity"] for name, each in alerts.items() if name != "Own"}
    assert groups[-1]["rules"][1] == {"record": "a:b", "expr": "1"}


def test_job_label_s_value_is_the_job(helm: Helm) -> None:
    """With jobLabel, the job of targets and rules is the value of the Service's label."""
    rendered = helm.render(
        *MINIMAL, *OPERATED, "--set=serviceMonitor.jobLabel=team,service.labels.team=storage"
    )
    assert one(rendered, "ServiceMonitor")["spec"]["jobLabel"] == "team"
    assert jobs_and_uids(rendered)[0] == {"storage"}


def test_platform_may_choose_the_user(helm: Helm) -> None:
    """Null removes user and group, so that a platform such as OpenShift can choose them."""
    numbers = ("runAsUser", "runAsGroup", "fsGroup")
    free = "--set=" + ",".join(f"podSecurityContext.{each}=null" for each in numbers)
    rendered = helm.render(*MINIMAL, free)
    for spec in (pod_template(rendered)["spec"], one(rendered, "Pod")["spec"]):
        assert spec["securityContext"].keys() == {"runAsNonRoot", "seccompProfile"}


def test_job_is_the_one_that_rules_look_for(helm: Helm) -> None:
    """The ServiceMonitor sets the job of the release or of the settings, and rules select it."""
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


def test_notes_describe_next_steps(case: Path) -> None:
    """The notes show how to reach a pod, and mention the ServiceMonitor or how to scrape without.

    Helm 4 only: Helm 3 prints no notes without a cluster.
    """
    helm = Helm(program("helm"))
    command = ("install", RELEASE, str(CHART), "--dry-run=client", f"--values={case}")
    notes = helm.run(*command).partition("NOTES:\n")[2]
    pod = r"(deployment/\S+|pod/\S+-0)"
    assert re.search(rf"port-forward {pod} \d+\n  https?://127\.0\.0\.1:\d+/", notes)
    assert ("The ServiceMonitor" in notes) != ("dns_sd_configs" in notes)
