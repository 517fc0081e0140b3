"""Values that the chart rejects, and the expected messages."""

from __future__ import annotations

import json

from tests.chart.helm import MINIMAL

VERY_SECRET = "very-secret"


def accounts(**keys: object) -> str:
    """The argument for a configuration of one account."""
    return "--set-json=config.accounts=" + json.dumps([{"name": "a", "discovery": {}, **keys}])


RULES = (*MINIMAL, "--set=rules.enabled=true", "--set=rules.alertLabels.team=storage")
SECRET = "--set=credentials.existingSecret=s"
REFUSALS = {
    "nothing to poll": ([SECRET], "account: no buckets to poll"),
    "no credentials": (
        ["--set=account.buckets={b1}"],
        "account: no credentials: set credentials.existingSecret to the name of a Secret with",
    ),
    "a file that the made Secret lacks": (
        [
            "--set=account.buckets={b1}",
            "--set=account.email=ops@example.com",
            "--set=credentials.data.token=t",
        ],
        'with the key "password", or set credentials.data.password',
    ),
    "both Secrets": (
        [*MINIMAL, "--set=credentials.data.token=t"],
        "credentials: existingSecret and data are both set",
    ),
    "both forms": (
        [*MINIMAL, accounts(authorization={"credentials_file": "t"})],
        "account: set together with config.accounts",
    ),
    "an open token": (
        [accounts(authorization={"credentials": VERY_SECRET})],
        "config.accounts[0].authorization.credentials: would be readable in a ConfigMap",
    ),
    "an open password": (
        [accounts(login={"email": "a@b", "password": VERY_SECRET})],
        "config.accounts[0].login.password: would be readable in a ConfigMap",
    ),
    "an open proxy password": (
        [accounts(authorization={"credentials": "${T}"}, proxy_url=f"http://u:{VERY_SECRET}@p:1")],
        "config.accounts[0].proxy_url: the password in it would be readable in a ConfigMap",
    ),
    "TLS without a file": ([*MINIMAL, "--set=web.tls=true"], "set web.existingSecret"),
    "client certificates without TLS": (
        [*MINIMAL, "--set=web.existingSecret=w", "--set=web.clientCertificates=true"],
        "web: clientCertificates requires TLS: set web.tls=true.",
    ),
    "an unknown key": ([*MINIMAL, "--set=replicas=2"], "replicas"),
    "an unknown key inside": ([*MINIMAL, "--set=image.name=r"], "name"),
    "an unknown key of the exporter": (
        [*MINIMAL, "--set=config.global.pollInterval=1m"],
        "pollInterval",
    ),
    "a bad value of the exporter": (
        [*MINIMAL, "--set=config.global.poll_interval=often"],
        "poll_interval",
    ),
    "a name with a dot": ([*MINIMAL, "--set=fullnameOverride=a.b"], "fullnameOverride"),
    "no shards": ([*MINIMAL, "--set=shards=0"], "shards"),
    "half a shard": ([*MINIMAL, "--set=shards=1.5"], "shards"),
    "shards as text": ([*MINIMAL, "--set-string=shards=2"], "shards"),
    "an id that YAML reads as a number": (
        [SECRET, "--set=account.buckets={123}"],
        "buckets",
    ),
    "a label that selects": (
        [*MINIMAL, r"--set=podLabels.app\.kubernetes\.io/name=x"],
        "podLabels: the chart sets the label app.kubernetes.io/name itself",
    ),
    "a template that makes no name": (
        [
            "--set=account.buckets={b1}",
            '--set-json=credentials.existingSecret="{{ .Chart.Name }} x"',
        ],
        'credentials.existingSecret: "flashback-exporter x" cannot be used: write one such as',
    ),
    "a template that does not end": (
        [*MINIMAL, '--set-json=serviceMonitor.relabelings=[{"regex": "{{ x"}]'],
        "serviceMonitor.relabelings[0].regex: a template does not end: close {{ with }}",
    ),
    "a template that does not end in a Secret's name": (
        ["--set=account.buckets={b1}", '--set-json=credentials.existingSecret="{{"'],
        "credentials.existingSecret: a template does not end",
    ),
    "a template that does not end in a global value": (
        [*MINIMAL, '--set-json=global.imagePullSecrets=["{{"]'],
        "global.imagePullSecrets[0]: a template does not end",
    ),
    "a manifest that is not YAML": (
        [*MINIMAL, '--set-json=extraManifests=["a: b: c"]'],
        "extraManifests[0]: yaml: mapping values are not allowed in this context: write one object",
    ),
    "a manifest that is not a mapping": (
        [*MINIMAL, '--set-json=extraManifests=["- a"]'],
        "extraManifests[0]: not a mapping: write one object",
    ),
    "a manifest of no kind": (
        [*MINIMAL, r'--set-json=extraManifests=["apiVersion: v1\nkind: Secret\n---\na: b"]'],
        "extraManifests[0]: the object has no apiVersion or no kind: add both",
    ),
    "a duration that the exporter refuses": (
        [*MINIMAL, "--set=configReloadInterval=293y"],
        "configReloadInterval: 293y is longer than 292 years: write a shorter duration",
    ),
    "a duration that overflows": (
        [*MINIMAL, "--set=serviceMonitor.interval=999999999y"],
        "serviceMonitor.interval: 999999999y is longer than 292 years",
    ),
    "a poll interval that the exporter refuses": (
        [*MINIMAL, "--set=config.global.poll_interval=300y"],
        "config.global.poll_interval: 300y is longer than 292 years",
    ),
    "a refresh interval that the exporter refuses": (
        [accounts(authorization={"credentials": "${T}"}, discovery={"refresh_interval": "300y"})],
        "config.accounts[0].discovery.refresh_interval: 300y is longer than 292 years",
    ),
    "a setting of centuries": (
        [*MINIMAL, "--set=rules.settings.node_down_for=300y"],
        "rules.settings.node_down_for: 300y is longer than 292 years",
    ),
    "an alert that waits for centuries": (
        [*MINIMAL, "--set=rules.alerts.FlashbackNodeDown.for=300y"],
        "rules.alerts.FlashbackNodeDown.for: 300y is longer than 292 years",
    ),
    "a large number without a unit": (
        [*MINIMAL, "--set-json=configReloadInterval=1000000"],
        'configReloadInterval: "1000000" cannot be used',
    ),
    "more than all pods": (
        [*MINIMAL, "--set=podDisruptionBudget.maxUnavailable=101%"],
        'podDisruptionBudget.maxUnavailable: "101%" cannot be used: write one such as 1, or 50%',
    ),
    "more pods than a number holds": (
        [*MINIMAL, "--set=revisionHistoryLimit=3000000000"],
        "revisionHistoryLimit",
    ),
    "rollingUpdate with Recreate": (
        [*MINIMAL, "--set=strategy.rollingUpdate.maxSurge=1"],
        "strategy.rollingUpdate: the type is Recreate: set strategy.type=RollingUpdate, or remove",
    ),
    "rollingUpdate with OnDelete": (
        [*MINIMAL, "--set=updateStrategy.type=OnDelete,updateStrategy.rollingUpdate.partition=1"],
        "updateStrategy.rollingUpdate: the type is OnDelete: set updateStrategy.type=RollingUpdate",
    ),
    "a group of rules twice": (
        [*RULES, '--set-json=rules.extraGroups=[{"name":"a","rules":[]},{"name":"a","rules":[]}]'],
        'rules.extraGroups[1].name: "a" is already the name of a group of rules.extraGroups',
    ),
    "a group of the chart": (
        [*RULES, '--set-json=rules.extraGroups=[{"name":"flashback-lost-buckets","rules":[]}]'],
        'rules.extraGroups[0].name: "flashback-lost-buckets" is already the name of a group of the',
    ),
    "a repository with a tag": (
        [*MINIMAL, "--set=image.repository=repo:1"],
        'image.repository: "repo:1" cannot be used: write one such as',
    ),
    "a repository with a digest": (
        [*MINIMAL, f"--set=image.repository=registry.example.com/repo@sha256:{'0' * 64}"],
        "image.repository: ",
    ),
    "a registry with a space": (
        [*MINIMAL, "--set=global.imageRegistry=a b"],
        'global.imageRegistry: "a b" cannot be used',
    ),
    "a class with a space": (
        [*MINIMAL, "--set=ingress.className=a b"],
        'ingress.className: "a b" cannot be used',
    ),
    "a host with a space": (
        [*MINIMAL, "--set=ingress.hosts[0].host=a b"],
        'ingress.hosts[0].host: "a b" is not a host name: write one such as flashback.example.com',
    ),
    "a certificate's host with a space": (
        [*MINIMAL, "--set=ingress.tls[0].hosts={a b}"],
        'ingress.tls[0].hosts: "a b" is not a host name',
    ),
    "a route's host with a space": (
        [*MINIMAL, "--set=httpRoute.hostnames={a b}"],
        'httpRoute.hostnames: "a b" is not a host name',
    ),
    "an annotation with a space": (
        [*MINIMAL, "--set=podAnnotations.a b=c"],
        'podAnnotations: "a b" is not the name of an annotation',
    ),
    "a target label with a space": (
        [*MINIMAL, "--set=serviceMonitor.podTargetLabels={a b}"],
        'serviceMonitor.podTargetLabels: "a b" is not the name of a label',
    ),
    "a runtime class with a space": (
        [*MINIMAL, "--set=runtimeClassName=a b"],
        'runtimeClassName: "a b" cannot be used',
    ),
    "a volume of the chart": (
        [*MINIMAL, "--set=extraVolumes[0].name=config"],
        'extraVolumes[0].name: "config" is already taken by the chart: use another name.',
    ),
    "a container of the chart": (
        [*MINIMAL, "--set=initContainers[0].name=exporter"],
        'initContainers[0].name: "exporter" is already taken by the chart',
    ),
    "a variable twice": (
        [*MINIMAL, "--set=env.A=1", "--set=extraEnv[0].name=A"],
        'extraEnv[0].name: "A" is already taken in env: use another name.',
    ),
    "null in a list of ids": ([SECRET, "--set-json=account.buckets=[null]"], "buckets"),
    "null in a list of objects": ([*MINIMAL, "--set-json=extraEnv=[null]"], "extraEnv"),
    "null in a list of manifests": (
        [*MINIMAL, "--set-json=extraManifests=[null]"],
        "extraManifests",
    ),
    "both tokens": (
        [accounts(authorization={"credentials": "${T}", "credentials_file": "t"})],
        "oneOf",
    ),
    "neither token": ([accounts(authorization={"credentials": None})], "credentials"),
    "a certificate without a key": (
        [accounts(authorization={"credentials": "${T}"}, tls_config={"cert_file": "c"})],
        "key_file",
    ),
    "a rule's labels that are none": (
        [*RULES, '--set-json=rules.extraGroups=[{"name":"a","rules":[{"expr":"1","labels":"b"}]}]'],
        "labels",
    ),
    "an empty token": ([accounts(authorization={"credentials": ""})], "credentials"),
}

OPEN_TEXTS = (
    VERY_SECRET,
    f"{VERY_SECRET}${{Y:-}}",
    f"{VERY_SECRET} token",
    f"${{A:-{VERY_SECRET}}}",
    f"$${{A}}{VERY_SECRET}",
    f"${VERY_SECRET}",
)
HIDDEN_TEXTS = ("${T}", "${A}${B:-}", " ${T} ")
OPEN_URLS = (
    f"http://u:{VERY_SECRET}@p:1",
    f"http://u:$a{VERY_SECRET}@p",
    f"http://u:${{P}}{VERY_SECRET}@p",
    f"http://u:${{P:-{VERY_SECRET}}}@p",
    f"${{U}}:{VERY_SECRET}@p",
    f"${{URL:-http://u:{VERY_SECRET}@p}}",
    f"http://u:/{VERY_SECRET}@p",
    f"http://u%3A{VERY_SECRET}@p",
    f"http://u%3a{VERY_SECRET}@${{P}}",
    f"https://h/${{X}}${{Y:-{VERY_SECRET}}}",
    f"${{URL:-{VERY_SECRET}}}",
)
WRONG_URLS = (
    f"https://h/${{X}}?token={VERY_SECRET}",
    f"https://${{H}}#{VERY_SECRET}",
    f"${{H}}?{VERY_SECRET}",
    f"{VERY_SECRET}${{X}}",
)
HIDDEN_URLS = (
    "http://u:${P}@p:1",
    "http://${U}:${P}@p",
    "${SCHEME}://${HOST}:${PORT}",
    "${URL}",
    "http://u@p",
    "http://[::1]:1/",
)
"""Secrets in clear text, which a ConfigMap would expose, and forms that hide them."""

WRONG = {
    "account": {"email": "ops@example.com"},
    "credentials": {"existingSecret": "s", "data": {"a/b": "t"}},
    "web": {"tls": True, "telemetryPath": "metrics"},
    "shards": 2,
    "image": {"tag": "a b"},
    "extraArgs": ["web.max-requests=10"],
    "env": {"a b": "c"},
    "commonLabels": {"team": "a b"},
    "podLabels": {"helm.sh/chart": "x"},
    "serviceMonitor": {"interval": "1m30s", "scrapeTimeout": "91s"},
    "ingress": {"enabled": True},
    "httpRoute": {"enabled": True},
    "rules": {
        "enabled": True,
        "settings": {"node_labels": ["account", "ip", "host", "x"]},
        "alertLabels": {"a-b": "c"},
    },
    "config": {
        "global": {"base_url": f"https://u:{VERY_SECRET}@h"},
        "accounts": [
            {
                "name": "a",
                "discovery": {},
                "proxy_url": f"socks://{VERY_SECRET}",
                "authorization": {"credentials": "${T}"},
            }
        ],
    },
}
WRONG_PLACES = {
    "account": "set together with config.accounts, of which it is the short form: remove one",
    "credentials": "existingSecret and data are both set: remove one of them.",
    "credentials.data": "as in partner-token",
    "web": "such as web.existingSecret=flashback-web",
    "web.telemetryPath": '"metrics" cannot be used: write one such as /metrics.',
    "image.tag": '"a b" cannot be used: write one such as 1.2.3.',
    "extraArgs": "write one such as --web.max-requests=10.",
    "env": "write one such as PROXY_PASSWORD.",
    "commonLabels": "the label team has an invalid value: use at most 63 letters",
    "podLabels": "the chart sets the label helm.sh/chart itself: use another name, such as",
    "serviceMonitor.scrapeTimeout": "91s is longer than the interval: write at most 1m30s.",
    "ingress": "each of several shards has a page of only its own buckets",
    "ingress.hosts": "required: add the host of the page, as in {host: flashback.example.com",
    "httpRoute.parentRefs": "required: add the Gateway, as in {name: public",
    "rules.settings": "x is in node_labels and not in bucket_labels: add it there.",
    "rules.alertLabels": "write one such as team.",
    "config.global.base_url": "in a ConfigMap: remove it, and write authorization or login.",
    "config.accounts[0].proxy_url": "not an address: write one such as http://proxy.example.com:3128.",
}
