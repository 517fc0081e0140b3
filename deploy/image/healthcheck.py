"""The image's HEALTHCHECK: whether the exporter in this container answers that it is healthy.

Exit code 0 or 1. It stands alone, on the standard library, so that asking costs little. Where the
exporter listens it reads off process 1, whose flags win over the environment.
"""
# ruff: noqa: INP001 - a script that the image copies, no package

from __future__ import annotations

import http.client
import os
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

FLAG = "--web.listen-address"
VARIABLE = "FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS"
DEFAULT = ":10120"
EVERY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104 - asks there, binds none
SECONDS = 4.0
GUARDED = 401
"""It answers, and asks for a password that a health check has not: all that can be known."""


def listen_address(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[str, int]:
    """Host and port at which a process with these arguments is asked; the first of several."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument.startswith(f"{FLAG}="):
            return _host_and_port(argument.partition("=")[2])
        if argument == FLAG:
            return _host_and_port(following)
    return _host_and_port(environ.get(VARIABLE, "").split(",")[0].strip() or DEFAULT)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    return EVERY_ADDRESS.get(host, host), int(port)


def is_healthy(host: str, port: int) -> bool:
    """Whether the exporter there says so, over TLS or else plain HTTP.

    TLS first: plain HTTP on a TLS port would be a line in the exporter's log each time. Being
    refused for want of a client certificate is an answer, too.
    """
    connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=_tls())
    try:
        connection.connect()
    except (ssl.SSLError, ConnectionResetError) as error:
        if _is_alert(error):
            return True  # TLS 1.2: it shows no certificate
        return _says_so(http.client.HTTPConnection(host, port, timeout=SECONDS))
    try:
        return _says_so(connection)
    except (ConnectionError, ssl.SSLError):
        return True  # TLS 1.3: the same, after what is the whole handshake for this side


def _is_alert(error: OSError) -> bool:
    return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it asks its own container: there is nobody else to meet
    context.verify_mode = ssl.CERT_NONE
    return context


def _says_so(connection: http.client.HTTPConnection) -> bool:
    with closing(connection):
        connection.request("HEAD", "/-/healthy")
        with connection.getresponse() as response:
            return response.status in {200, GUARDED}


def main(ask: Callable[[str, int], bool] = is_healthy) -> int:
    """The exit code."""
    arguments = Path("/proc/1/cmdline").read_text().split("\0")
    try:
        return 0 if ask(*listen_address(arguments, os.environ)) else 1
    except (OSError, http.client.HTTPException) as error:
        print(error, file=sys.stderr)  # noqa: T201 - shown by `docker inspect`
        return 1


if __name__ == "__main__":
    sys.exit(main())
