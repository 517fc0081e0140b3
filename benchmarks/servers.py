"""The web servers that are compared, each in a process of its own on a loopback port."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import disable_created_metrics, start_http_server

from benchmarks import reference, sample, stub
from benchmarks.measuring import Server
from exporter.clock import SystemClock
from exporter.metrics.self_metrics import SelfMetrics
from exporter.polling.collector import ListingView
from exporter.polling.sharding import Shard
from exporter.upstream.events import Call
from exporter.web.app import Endpoints, make_app
from exporter.web.server import ListenAddress, serve

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
NGINX_CONF = """\
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{}}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type "text/plain; version=0.0.4";
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""
START_SECONDS = 10.0


class _AtRest:
    """A polling that is in time, of one account with a token that ends."""

    shard = Shard()

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets

    def bucket_count(self) -> int:
        return self._buckets

    def lag(self) -> float:
        return 0.0

    def paused_until(self) -> Mapping[str, float]:
        return {}

    def token_expiries(self) -> Mapping[str, float]:
        return {"main": sample.NOW.wall}

    def listings(self) -> Mapping[str, ListingView]:
        return {}


def serve_exporter(
    buckets: int, pipe: Connection, *, counters: bool = False, anew: bool = False
) -> None:
    """The exporter's own web application, with its own counters at the page's end or without.

    `anew`: the page is made again for each scrape, as after a poll.
    """
    # The load breaks off its last requests.
    logging.getLogger("aiohttp.server").disabled = True
    asyncio.run(_serve_exporter(buckets, pipe, counters=counters, anew=anew))


async def _serve_exporter(buckets: int, pipe: Connection, *, counters: bool, anew: bool) -> None:
    store = sample.polled_targets(buckets)
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
    self_metrics = SelfMetrics("", "", runtime_metrics=True, clock=SystemClock())
    self_metrics.init_series("main", [Call.STATS])
    self_metrics.watch(_AtRest(buckets))
    earlier = count(start=1e-6, step=1e-6)

    def exposition(openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - as Endpoints wants it
        # A page that was kept is none for an earlier moment.
        yield from store.render(sample.NOW.monotonic - (next(earlier) if anew else 0))
        if counters:
            yield from self_metrics.pieces(openmetrics=openmetrics)

    endpoints = Endpoints(
        telemetry_path="/metrics",
        max_requests=40,
        exposition=exposition,
        is_healthy=lambda: True,
        is_ready=lambda: True,
    )
    async with serve(make_app(endpoints), [ListenAddress("127.0.0.1", 0)]) as addresses:
        pipe.send(addresses[0].port)
        await stub.closing(pipe)


def serve_library(buckets: int, pipe: Connection) -> None:
    """The client library's server with a collector that shows the same samples."""
    registry = reference.registry(list(sample.readings(buckets)), sample.STATUSES)
    server, _ = start_http_server(0, "127.0.0.1", registry)
    pipe.send(server.server_port)
    pipe.poll(None)


@contextmanager
def nginx(program: str, buckets: int) -> Iterator[Server]:
    """Nginx, which sends the exporter's bytes from a file."""
    with TemporaryDirectory() as name, closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
        free.close()
        page = sample.polled_targets(buckets).render(sample.NOW.monotonic)
        Path(name, "metrics").write_bytes(b"".join(page))
        config = Path(name, "nginx.conf")
        config.write_text(NGINX_CONF.format(folder=name, port=port), "utf-8")
        command = [program, "-p", name, "-e", "stderr", "-c", str(config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as child:  # noqa: S603 - no shell
            try:
                _await_port(port)
                yield Server(child.pid, port)
            finally:
                child.terminate()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
