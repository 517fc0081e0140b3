"""Values with which the chart cannot work, and what it says of them."""

from __future__ import annotations

import json

from tests.chart.helm import MINIMAL

VERY_SECRET = "very-secret"


def accounts(**keys: object) -> str:
    """The argument for a configuration of one account."""
    return "--set-json=config.accounts=" + json.dumps([{"name": "a", "discovery": {}, **keys}])


SECRET = "--set=credentials.existingSecret=s"
REFUSALS = {
    "nothing to poll": ([SECRET], "There is nothing to poll"),
    "no credentials": (
        ["--set=account.buckets={b1}"],
        "account: has no credentials: set credentials.existingSecret to the name of a Secret with",
    ),
    "a file that the made Secret lacks": (
        [
            "--set=account.buckets={b1}",
            "--set=account.email=ops@example.com",
            "--set=credentials.data.token=t",
        ],
        'with the key "password", or credentials.data.password',
    ),
    "both Secrets": ([*MINIMAL, "--set=credentials.data.token=t"], "exclude each other"),
    "both forms": (
        [*MINIMAL, accounts(authorization={"credentials_file": "t"})],
        "account: is the short form of config.accounts",
    ),
    "an open token": (
        [accounts(authorization={"credentials": VERY_SECRET})],
        "config.accounts[0].authorization.credentials: would lie open in a ConfigMap",
    ),
    "an open password": (
        [accounts(login={"email": "a@b", "password": VERY_SECRET})],
        "config.accounts[0].login.password: would lie open in a ConfigMap",
    ),
    "an open proxy password": (
        [accounts(authorization={"credentials": "${T}"}, proxy_url=f"http://u:{VERY_SECRET}@p:1")],
        "config.accounts[0].proxy_url: the password in it would lie open in a ConfigMap",
    ),
    "TLS without a file": ([*MINIMAL, "--set=web.tls=true"], "set web.existingSecret"),
    "client certificates without TLS": (
        [*MINIMAL, "--set=web.existingSecret=w", "--set=web.clientCertificates=true"],
        "web.clientCertificates needs web.tls",
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
        "podLabels: app.kubernetes.io/name is a label of the chart's own",
    ),
    "a template that makes no name": (
        [
            "--set=account.buckets={b1}",
            '--set-json=credentials.existingSecret="{{ .Chart.Name }} x"',
        ],
        'credentials.existingSecret: "flashback-exporter x" cannot be used: write one such as',
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
)
HIDDEN_URLS = ("http://u:${P}@p:1", "http://${U}:${P}@p", "${URL}", "http://u@p", "http://[::1]:1/")
"""A secret in every form in which a ConfigMap would show it, and forms in which it would not."""

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
    "account": "is the short form of config.accounts: write one of the two.",
    "credentials": "existingSecret and data exclude each other: name a Secret or have one made.",
    "credentials.data": "as in partner-token",
    "web": "as in web.existingSecret=flashback-web",
    "web.telemetryPath": '"metrics" cannot be used: write one such as /metrics.',
    "image.tag": '"a b" cannot be used: write one such as 1.2.3.',
    "extraArgs": "write one such as --web.max-requests=10.",
    "env": "write one such as PROXY_PASSWORD.",
    "commonLabels": "the value of team is no label's: at most 63 letters",
    "podLabels": "helm.sh/chart is a label of the chart's own: take another name, as in",
    "serviceMonitor.scrapeTimeout": "91s is longer than the interval, 1m30s, which Prometheus",
    "ingress": "with several shards there is no one page to show",
    "ingress.hosts": "is empty: write where the page is, as in {host: flashback.example.com",
    "httpRoute.parentRefs": "is empty: write the Gateway's name, as in {name: public",
    "rules.settings": "x is in node_labels and not in bucket_labels: add it there.",
    "rules.alertLabels": "write one such as team.",
    "config.global.base_url": 'Write it as a variable, "http://exporter:${PROXY_PASSWORD}@',
    "config.accounts[0].proxy_url": "is no address: write one such as https://",
}
