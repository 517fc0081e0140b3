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
        "has no credentials: set credentials.existingSecret to the name of a Secret with the key",
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
        "account is the short form of config.accounts",
    ),
    "an open token": (
        [accounts(authorization={"credentials": VERY_SECRET})],
        'Account "a": credentials would lie open in a ConfigMap',
    ),
    "an open password": (
        [accounts(login={"email": "a@b", "password": VERY_SECRET})],
        'Account "a": password would lie open in a ConfigMap',
    ),
    "an open proxy password": (
        [accounts(authorization={"credentials": "${T}"}, proxy_url=f"http://u:{VERY_SECRET}@p:1")],
        "the password in proxy_url would lie open",
    ),
    "TLS without a file": ([*MINIMAL, "--set=web.tls=true"], "set web.existingSecret"),
    "client certificates without TLS": (
        [*MINIMAL, "--set=web.existingSecret=w", "--set=web.clientCertificates=true"],
        "web.clientCertificates needs web.tls",
    ),
    "an unknown key": ([*MINIMAL, "--set=replicas=2"], "replicas"),
    "an unknown key inside": ([*MINIMAL, "--set=image.registry=r"], "registry"),
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
        "app.kubernetes.io/name",
    ),
}
