"""Scrapes over TLS with basic auth, during certificate rotation and with hostile clients."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from exporter import simulator
from exporter.app import run_app
from exporter.clock import SystemClock
from exporter.config import parse
from exporter.simulator.server import serve
from exporter.web.server import ListenAddress
from tests.harness.documents import ROOT, examples
from tests.harness.stack import ANYWHERE, document
from tests.real.databases import prometheus
from tests.real.programs import until
from tests.web.guarded import MUTUAL_TLS, PASSWORD, USERS, Site
from tests.web.raw import SCRAPE, Raw, raw

ROTATIONS = 1
SCRAPES_BETWEEN = 2


@asynccontextmanager
async def guarded_exporter(web_config: Path) -> AsyncIterator[ListenAddress]:
    """Run the exporter with a web configuration."""
    options = replace(ANYWHERE, web_config_file=web_config)
    async with serve(simulator.Simulator(now=time.time)) as url:
        load = partial(parse, document(url), path=Path("config.yaml"), environ={})
        async with run_app(load, options, SystemClock(), Random(0), asyncio.Event()) as (address,):
            yield address


def scrape_settings(site: Site) -> dict[str, Any]:
    """The scrape settings of Prometheus: client certificate, password and CA."""
    cert = site.client_ca.issue_cert("prometheus@example.com")
    files = {name: site.directory / f"prometheus-{name}" for name in ("ca", "cert", "key")}
    site.server_ca.cert_pem.write_to_path(files["ca"])
    cert.cert_chain_pems[0].write_to_path(files["cert"])
    cert.private_key_pem.write_to_path(files["key"])
    return {
        "scheme": "https",
        "basic_auth": {"username": "alice", "password": PASSWORD},
        "tls_config": {f"{name}_file": str(file) for name, file in files.items()},
    }


async def hang_on(stack: AsyncExitStack, site: Site, address: ListenAddress) -> None:
    """Connect hostile clients: silent ones, slow ones, some with invalid data, idle ones."""
    known = site.client_context(site.client_ca.issue_cert("slow@example.com"))
    silent: list[Raw] = [await stack.enter_async_context(raw(address)) for _ in range(50)]
    silent[0].send(b"\x16\x03\x01")
    silent[1].send(b"GET / HTTP/1.1\r\n")
    for _ in range(50):
        idle = await stack.enter_async_context(raw(address, known))
        idle.send(SCRAPE[:-2])
    reader = await stack.enter_async_context(raw(address, known, limit=1))
    reader.send(SCRAPE)


async def served_serial(site: Site, address: ListenAddress) -> int:
    """The serial number of the certificate that a new connection gets."""
    context = site.client_context(site.client_ca.issue_cert("look@example.com"))
    async with raw(address, context) as connection:
        shown: ssl.SSLObject = connection.writer.get_extra_info("ssl_object")
        certificate = shown.getpeercert()
    assert certificate is not None
    return int(str(certificate["serialNumber"]), 16)


@pytest.mark.long
async def test_prometheus_scrapes_on_through_all_of_it(
    prometheus_path: str, tmp_path: Path
) -> None:
    """No scrape with mutual TLS and basic auth fails, despite a rotation and hostile clients."""
    site = Site(tmp_path, MUTUAL_TLS + USERS)
    settings = scrape_settings(site)
    async with (
        guarded_exporter(site.path) as address,
        prometheus(prometheus_path, tmp_path, {"x": str(address)}, "3s", settings) as database,
        AsyncExitStack() as stack,
    ):

        async def scraped(times: int) -> bool | None:
            return len(await database.history("up")) >= times or None

        await until(partial(scraped, 1))
        await hang_on(stack, site, address)
        serials = {await served_serial(site, address)}
        for rotation in range(1, ROTATIONS + 1):
            site.issue()

            async def rotated(seen: frozenset[int]) -> int | None:
                serial = await served_serial(site, address)
                return None if serial in seen else serial

            serials.add(await until(partial(rotated, frozenset(serials))))
            await until(partial(scraped, 1 + rotation * SCRAPES_BETWEEN))
        ups = await database.history("up")
        nodes = await database.histories("flashback_node_uptime_ratio")
    assert set(ups.values()) == {1}
    assert len(serials) == 1 + ROTATIONS
    assert len(nodes) == 18


def example(kind: str, start: str) -> str:
    """The only example of docs/security.md of its kind that starts with some text."""
    (found,) = (
        each.text
        for each in examples(kind)
        if each.page == "docs/security.md" and each.text.startswith(start)
    )
    return found


def shell(command: str, folder: Path, typed: str = "") -> str:
    """The output of a command in a shell without a terminal, with this Python as `python3`."""
    (folder / "bin").mkdir(exist_ok=True)
    python = folder / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ("/bin/sh", "-e", "-c", command),
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def site_of_the_page(folder: Path) -> dict[str, Any]:
    """Follow the steps of docs/security.md in a folder; returns its scrape configuration."""
    shell(example("sh", "openssl"), folder)
    printed = shell(example("sh", "python3"), folder, f"{PASSWORD}\n")
    (password_hash,) = (line for line in printed.splitlines() if "$2b$" in line)
    password_hash = password_hash[password_hash.index("$2b$") :]
    web_config = example("web configuration", "tls_server_config").replace(
        "$2y$10$…", password_hash
    )
    (folder / "web.yaml").write_text(web_config)
    (folder / "password").write_text(PASSWORD)
    (job,) = yaml.safe_load(example("prometheus", "scrape_configs"))["scrape_configs"]
    return {key: job[key] for key in job if key not in ("job_name", "static_configs")}


def test_exporter_accepts_the_files_of_the_page(tmp_path: Path) -> None:
    """The page's `check` finds no problem in its web configuration, keys and certificates."""
    site_of_the_page(tmp_path)
    check = example("sh", "flashback-exporter check --web.config.file=web.yaml")
    shell(check.replace("flashback-exporter", "python3 -m exporter"), tmp_path)


@pytest.mark.long
async def test_documented_steps_let_prometheus_scrape(prometheus_path: str, tmp_path: Path) -> None:
    """With the page's commands and files Prometheus scrapes, using a certificate and a password."""
    settings = site_of_the_page(tmp_path)
    async with (
        guarded_exporter(tmp_path / "web.yaml") as address,
        prometheus(prometheus_path, tmp_path, {"x": str(address)}, "3s", settings) as database,
    ):

        async def scraped() -> bool | None:
            return bool(await database.history("up")) or None

        await until(scraped)
        ups = await database.history("up")
        nodes = await database.histories("flashback_node_uptime_ratio")
    assert set(ups.values()) == {1}
    assert nodes
