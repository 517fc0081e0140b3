"""The image's HEALTHCHECK: whether the command in this container is healthy.

Exit code 0 or 1. It uses only the standard library, so that a check is cheap. The command and its
listen address come from the arguments of process 1 and the environment. The exporter must be
healthy at /-/healthy, the simulator must respond. Other commands do not listen and end by
themselves: they are healthy while the container runs.
"""
# ruff: noqa: INP001 - a script that the image copies, not a package

from __future__ import annotations

import http.client
import os
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

PROGRAM = {"flashback-exporter", "exporter"}  # the latter as `python -m exporter`


class Address(NamedTuple):
    """How a command gets its listen address."""

    flag: str
    variable: str
    default: str


WEB = Address("--web.listen-address", "FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS", ":10120")
API = Address("--address", "FLASHBACK_EXPORTER_ADDRESS", "127.0.0.1:10121")

EVERY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104 - connects, does not bind
SECONDS = 4.0
GUARDED = 401
"""The exporter responds, and requires a password that the health check does not have."""


def command(arguments: Sequence[str]) -> str:
    """The command in these arguments; the default is `run`."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if Path(argument).name in PROGRAM and following and not following.startswith("-"):
            return following
    return "run"


def listen_address(
    arguments: Sequence[str], environ: Mapping[str, str], source: Address = WEB
) -> tuple[str, int]:
    """Host and port to connect to; the first of several listen addresses."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument.startswith(f"{source.flag}="):
            return _host_and_port(argument.partition("=")[2])
        if argument == source.flag:
            return _host_and_port(following)
    return _host_and_port(environ.get(source.variable, "").split(",")[0].strip() or source.default)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    return EVERY_ADDRESS.get(host, host), int(port)


def is_healthy(host: str, port: int) -> bool:
    """Whether the exporter reports that it is healthy, over TLS or plain HTTP.

    It tries TLS first, because plain HTTP on a TLS port would log an error each time. An exporter
    that requires a client certificate counts as healthy.
    """
    connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=_tls())
    try:
        connection.connect()
    except (ssl.SSLError, ConnectionResetError) as error:
        if _is_alert(error):
            return True  # TLS 1.2: the health check has no client certificate
        return _says_so(http.client.HTTPConnection(host, port, timeout=SECONDS))
    try:
        return _says_so(connection)
    except (ConnectionError, ssl.SSLError):
        return True  # TLS 1.3: the same, but after the handshake of this side


def _is_alert(error: OSError) -> bool:
    return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it only connects to its own container
    context.verify_mode = ssl.CERT_NONE
    return context


def _says_so(connection: http.client.HTTPConnection) -> bool:
    with closing(connection):
        connection.request("HEAD", "/-/healthy")
        with connection.getresponse() as response:
            return response.status in {200, GUARDED}


def _answers(host: str, port: int) -> bool:
    """Whether there is any HTTP response."""
    with closing(http.client.HTTPConnection(host, port, timeout=SECONDS)) as connection:
        connection.request("HEAD", "/")
        connection.getresponse().close()
    return True


def is_well(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether a process with these arguments is healthy."""
    name = command(arguments)
    if name == "simulate":
        return _answers(*listen_address(arguments, environ, API))
    if name in {"run", "demo"}:
        return is_healthy(*listen_address(arguments, environ))
    return True


def main(check: Callable[[Sequence[str], Mapping[str, str]], bool] = is_well) -> int:
    """The exit code."""
    arguments = Path("/proc/1/cmdline").read_text().split("\0")
    try:
        return 0 if check(arguments, os.environ) else 1
    except (OSError, http.client.HTTPException) as error:
        print(error, file=sys.stderr)  # noqa: T201 - shown by `docker inspect`
        return 1


if __name__ == "__main__":
    sys.exit(main())
