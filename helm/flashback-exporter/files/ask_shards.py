"""What `helm test` runs in the exporter's image: does each shard work, and know which one it is?

The arguments are the shards' addresses in the order of their ordinals. Only the standard library:
the image has nothing else that may be relied on.
"""
# ruff: noqa: INP001 - a script, no module

from __future__ import annotations

import os
import ssl
import sys
import time
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

PATIENCE = float(os.environ.get("PATIENCE", "180"))  # seconds for the first round of polls
TELEMETRY_PATH = os.environ.get("TELEMETRY_PATH", "/metrics")
# Whether the shard is there is asked, no secret is sent: its certificate need not be trusted.
ANY_CERTIFICATE = ssl.create_default_context()
ANY_CERTIFICATE.check_hostname = False
ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE
OPENER = build_opener(ProxyHandler({}), HTTPSHandler(context=ANY_CERTIFICATE))


def answer(url: str) -> tuple[int, str]:
    """The status and the text at an address; status 0 where nobody answers."""
    try:
        with OPENER.open(url, timeout=10) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, str(error)
    except OSError as error:
        return 0, str(error)


def until_ready(address: str, deadline: float) -> str | None:
    """Wait for a shard's first round of polls; None, or why the wait was in vain."""
    while True:
        status, text = answer(f"{address}/-/ready")
        if status == HTTPStatus.OK:
            return None
        if time.monotonic() > deadline:
            return f"not ready: {status} {text.strip()}"
        time.sleep(1)


def complaint(address: str, ordinal: int, total: int, deadline: float) -> str | None:
    """What is wrong with a shard, or None."""
    if problem := until_ready(address, deadline):
        return problem
    status, page = answer(address + TELEMETRY_PATH)
    if status == HTTPStatus.UNAUTHORIZED:
        return None  # guarded by a password, which is not for this pod to know
    if status != HTTPStatus.OK:
        return f"no metrics: {status} {page.strip()}"
    wanted = (
        f'flashback_exporter_shard_ordinal{{shard_ordinal="{ordinal}"}}',
        f"flashback_exporter_shards {total}.0",
    )
    missing = [text for text in wanted if f"\n{text}" not in page]
    return f"the page lacks {' and '.join(missing)}" if missing else None


def main(addresses: list[str]) -> int:
    """Say of each shard how it is; 1 where one is not well."""
    deadline = time.monotonic() + PATIENCE
    problems = 0
    for ordinal, address in enumerate(addresses):
        problem = complaint(address, ordinal, len(addresses), deadline)
        problems += problem is not None
        print(f"{address}: {problem or 'good'}", flush=True)  # noqa: T201 - the pod's log
    return 1 if problems or not addresses else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
