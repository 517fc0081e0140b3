"""The image's health check: which address it requests, and how it judges the response."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.image.healthcheck import command, is_healthy, is_well, listen_address, main
from exporter.cli.commands import COMMANDS
from exporter.simulator import Simulator
from exporter.simulator.server import serve
from tests.web.guarded import MUTUAL_TLS, TLS, USERS, Site, guarded
from tests.web.test_app import ENDPOINTS

PLAIN = "http_server_config:\n  http2: false\n"
OLD_TLS = MUTUAL_TLS + "  max_version: TLS12\n"
VARIABLE = "FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("flashback-exporter", ("127.0.0.1", 10120)),
        ("flashback-exporter --web.listen-address=:9999", ("127.0.0.1", 9999)),
        ("flashback-exporter demo --web.listen-address 0.0.0.0:80", ("127.0.0.1", 80)),
        ("docker-init -- flashback-exporter --web.listen-address=10.0.0.1:1", ("10.0.0.1", 1)),
        ("x --web.listen-address=[::]:9 --web.listen-address=:8", ("127.0.0.1", 9)),
        ("x --web.listen-address=[fd00::1]:9", ("fd00::1", 9)),
    ],
)
def test_address_is_that_of_the_command_line(command: str, expected: tuple[str, int]) -> None:
    """The first listen address on the command line is used, with loopback for a wildcard."""
    assert listen_address(command.split(), {}) == expected


def test_flag_wins_over_the_environment() -> None:
    """The flag overrides the environment variable, of which the first address is used."""
    environ = {VARIABLE: ":7, :8"}
    assert listen_address(["x"], environ) == ("127.0.0.1", 7)
    assert listen_address(["x", "--web.listen-address=:9"], environ) == ("127.0.0.1", 9)
    assert listen_address(["x"], {VARIABLE: ""}) == ("127.0.0.1", 10120)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "/opt/flashback-exporter/bin/python /opt/flashback-exporter/bin/flashback-exporter",
            "run",
        ),
        ("python /opt/flashback-exporter/bin/flashback-exporter --log.level=debug", "run"),
        ("docker-init -- flashback-exporter backfill --from 2026-01-01", "backfill"),
        ("python -m exporter simulate --speed 10", "simulate"),
        ("sleep 600", "run"),
    ],
)
def test_command_is_that_of_process_one(line: str, expected: str) -> None:
    """The word after the program is the command; the default is `run`."""
    assert command(line.split()) == expected


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_only_a_command_that_listens_has_to_answer(name: str) -> None:
    """A command that listens is unhealthy if its port refuses; others are always healthy."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    told = {each.name for each in COMMANDS[name].flags} & {"web.listen-address", "address"}
    arguments = ["flashback-exporter", name, *(f"--{each}=127.0.0.1:{port}" for each in told)]
    if told:
        with pytest.raises(ConnectionRefusedError):
            is_well(arguments, {})
    else:
        assert is_well(arguments, {})


async def test_simulator_that_answers_is_well() -> None:
    """The health check of `simulate` uses its --address, by flag or variable."""
    async with serve(Simulator(now=time.time), "127.0.0.1", 0) as url:
        address = url.removeprefix("http://")
        arguments = ["flashback-exporter", "simulate"]
        variable = {"FLASHBACK_EXPORTER_ADDRESS": address}
        assert await asyncio.to_thread(is_well, [*arguments, f"--address={address}"], {})
        assert await asyncio.to_thread(is_well, arguments, variable)


@pytest.mark.parametrize("text", [PLAIN, TLS, USERS, TLS + USERS, MUTUAL_TLS, OLD_TLS])
async def test_healthy_with_tls_and_passwords(text: str, tmp_path: Path) -> None:
    """An exporter with TLS, passwords or client certificates is reported healthy."""
    async with guarded(Site(tmp_path, text).security()) as address:
        assert await asyncio.to_thread(is_healthy, address.host, address.port)


@pytest.mark.parametrize("text", [PLAIN, TLS])
async def test_503_is_unhealthy(text: str, tmp_path: Path) -> None:
    """A 503 response is unhealthy."""
    sick = replace(ENDPOINTS, is_healthy=lambda: False)
    async with guarded(Site(tmp_path, text).security(), sick) as address:
        assert not await asyncio.to_thread(is_healthy, address.host, address.port)


async def test_other_server_is_unhealthy() -> None:
    """A server that speaks neither HTTP nor TLS is unhealthy."""

    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        assert await asyncio.to_thread(main, lambda *_process: is_healthy(host, port)) == 1


@pytest.mark.parametrize("healthy", [True, False])
def test_exit_code_is_the_answer(healthy: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The exit code is 0 if healthy and 1 if not, as Docker expects."""
    assert main(lambda *_process: healthy) == (0 if healthy else 1)


def test_refused_connection_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A refused connection exits with 1 and prints the reason without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert main(lambda *_process: is_healthy("127.0.0.1", port)) == 1
    assert "refused" in capsys.readouterr().err
