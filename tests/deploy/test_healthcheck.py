"""The image's health check: where it asks, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.image.healthcheck import is_healthy, listen_address, main
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
    """The first listen address on the command line is asked, its wildcard on loopback."""
    assert listen_address(command.split(), {}) == expected


def test_flag_wins_over_the_environment() -> None:
    """As in the exporter itself: the variable counts where there is no flag; lists by comma."""
    environ = {VARIABLE: ":7, :8"}
    assert listen_address(["x"], environ) == ("127.0.0.1", 7)
    assert listen_address(["x", "--web.listen-address=:9"], environ) == ("127.0.0.1", 9)
    assert listen_address(["x"], {VARIABLE: ""}) == ("127.0.0.1", 10120)


@pytest.mark.parametrize("text", [PLAIN, TLS, USERS, TLS + USERS, MUTUAL_TLS, OLD_TLS])
async def test_guards_do_not_make_it_sick(text: str, tmp_path: Path) -> None:
    """Over HTTP and TLS, with passwords and client certificates, a healthy exporter is healthy."""
    async with guarded(Site(tmp_path, text).security()) as address:
        assert await asyncio.to_thread(is_healthy, address.host, address.port)


@pytest.mark.parametrize("text", [PLAIN, TLS])
async def test_sick_exporter_is_sick(text: str, tmp_path: Path) -> None:
    """What answers 503 is not healthy."""
    sick = replace(ENDPOINTS, is_healthy=lambda: False)
    async with guarded(Site(tmp_path, text).security(), sick) as address:
        assert not await asyncio.to_thread(is_healthy, address.host, address.port)


async def test_stranger_is_not_healthy() -> None:
    """Something else that speaks neither HTTP nor TLS does not pass for the exporter."""

    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        assert await asyncio.to_thread(main, lambda _host, _port: is_healthy(host, port)) == 1


@pytest.mark.parametrize("healthy", [True, False])
def test_exit_code_is_the_answer(healthy: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """0 is healthy and 1 is not, which are all the codes that Docker knows."""
    assert main(lambda _host, _port: healthy) == (0 if healthy else 1)


def test_nobody_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A refused connection is exit code 1 with its reason, not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert main(lambda _host, _port: is_healthy("127.0.0.1", port)) == 1
    assert "refused" in capsys.readouterr().err
