"""What `helm test` runs in the exporter's image: checks that each shard works and has its ordinal.

The arguments are the shards' addresses in the order of their ordinals. It uses the standard library
alone, since the libraries of the image may change.
"""
# ruff: noqa: INP001 - a script, not a module

from __future__ import annotations

import os
import ssl
import sys
import time
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

TIMEOUT = float(os.environ.get("TIMEOUT", "180"))  # seconds for the first round of polls
TELEMETRY_PATH = os.environ.get("TELEMETRY_PATH", "/metrics")
# No secret is sent, so the certificate is not verified.
ANY_CERTIFICATE = ssl.create_default_context()
ANY_CERTIFICATE.check_hostname = False
ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE
OPENER = build_opener(ProxyHandler({}), HTTPSHandler(context=ANY_CERTIFICATE))


def get(url: str) -> tuple[int, str]:
    """The status and the body of a response; status 0 and the error if there is none."""
    try:
        with OPENER.open(url, timeout=10) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, str(error)
    except OSError as error:
        return 0, str(error)


def until_ready(address: str, deadline: float) -> str | None:
    """Wait for a shard's first round of polls. Returns None, or why it is not ready in time."""
    while True:
        status, text = get(f"{address}/-/ready")
        if status == HTTPStatus.OK:
            return None
        if time.monotonic() > deadline:
            return f"not ready: {status} {text.strip()}"
        time.sleep(1)


def check(address: str, ordinal: int, total: int, deadline: float) -> str | None:
    """The problem of a shard, or None."""
    if problem := until_ready(address, deadline):
        return problem
    status, page = get(address + TELEMETRY_PATH)
    if status == HTTPStatus.UNAUTHORIZED:
        return None  # this pod does not have the password
    if status != HTTPStatus.OK:
        return f"no metrics: {status} {page.strip()}"
    wanted = (
        f'flashback_exporter_shard_ordinal{{shard_ordinal="{ordinal}"}}',
        f"flashback_exporter_shards {total}.0",
    )
    missing = [text for text in wanted if f"\n{text}" not in page]
    return f"the metrics lack {' and '.join(missing)}" if missing else None


def main(addresses: list[str]) -> int:
    """Print the result for each shard; 1 if one has a problem."""
    deadline = time.monotonic() + TIMEOUT
    problems = 0
    for ordinal, address in enumerate(addresses):
        problem = check(address, ordinal, len(addresses), deadline)
        problems += problem is not None
        print(f"{address}: {problem or 'ok'}", flush=True)  # noqa: T201 - the pod's log
    return 1 if problems or not addresses else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
