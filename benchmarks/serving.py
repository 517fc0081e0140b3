"""Serving a page over loopback, beside the client library's own server and nginx.

The CPU time is that of the server's process. Requests per second say how many scrapes one could
bear at most; they are the only figure here that the load's own speed touches.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import NamedTuple

import psutil

from benchmarks import load, servers
from benchmarks.measuring import Server, Serving, server
from benchmarks.sample import NODES
from benchmarks.table import Quantity, Row, milliseconds

ABOUT_1_MB = 150  # buckets
NO_NGINX = "nginx is not installed"
WHICH = {"here": "", "counters": ", own counters too", "anew": ", changed page"}
"""Our servers, and what is said of what they serve."""


class Size(NamedTuple):
    """How much is done."""

    buckets: tuple[int, ...]
    seconds: float
    rounds: int


FULL = Size(buckets=(50, 150), seconds=2, rounds=5)
QUICK = Size(buckets=(50,), seconds=1, rounds=1)


class Served(NamedTuple):
    """What a server did in a round, or at the median."""

    per_second: float
    cpu_seconds: float  # of one request


def compare(size: Size) -> list[Row]:
    """Requests per second and CPU time of each."""
    return [row for buckets in size.buckets for row in _of_page(buckets, size)]


def _of_page(buckets: int, size: Size) -> list[Row]:
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(server(serve)) for name, serve in _pythons(buckets).items()
        }
        if servers.NGINX:
            running["nginx"] = stack.enter_context(servers.nginx(servers.NGINX, buckets))
        found = _medians(running, size)
    page = f"serving {buckets} x {NODES} nodes"
    nginx = "nginx, from a file" if servers.NGINX else NO_NGINX
    aim = "≥ 0.3 x" if buckets < ABOUT_1_MB else "≥ 0.9 x"
    aims = {"here": aim, "counters": aim, "anew": ""}  # nginx has no page that changes
    return [
        *_rows(page, found["here"], "prometheus_client's server", found["library"], "≥ 10 x"),
        *(
            row
            for name, which in WHICH.items()
            for row in _rows(page, found[name], nginx, found.get("nginx"), aims[name], which=which)
        ),
    ]


def _pythons(buckets: int) -> dict[str, Serving]:
    return {
        "here": partial(servers.serve_exporter, buckets),
        "anew": partial(servers.serve_exporter, buckets, anew=True),
        "counters": partial(servers.serve_exporter, buckets, counters=True),
        "library": partial(servers.serve_library, buckets),
    }


def _rows(
    page: str, here: Served, beside: str, base: Served | None, aim: str, *, which: str = ""
) -> list[Row]:
    per_second = None if base is None else Quantity(base.per_second, "/s")
    cpu = None if base is None else milliseconds(base.cpu_seconds)
    return [
        Row(page, f"requests{which}", Quantity(here.per_second, "/s"), beside, per_second, aim),
        Row(page, f"CPU of a request{which}", milliseconds(here.cpu_seconds), beside, cpu),
    ]


def _medians(running: Mapping[str, Server], size: Size) -> dict[str, Served]:
    """Each server's figures, in rounds that alternate, after one that does not count."""
    rounds = [
        {name: _loaded(one, size.seconds) for name, one in running.items()}
        for _ in range(size.rounds + 1)
    ]
    return {
        name: Served(
            median(found[name].per_second for found in rounds[1:]),
            median(found[name].cpu_seconds for found in rounds[1:]),
        )
        for name in running
    }


def _loaded(one: Server, seconds: float) -> Served:
    process = psutil.Process(one.pid)
    before, started = process.cpu_times(), time.monotonic()
    answered = load.requests_answered(f"http://127.0.0.1:{one.port}/metrics", seconds)
    after, ended = process.cpu_times(), time.monotonic()
    spent = after.user + after.system - before.user - before.system
    return Served(answered / (ended - started), spent / answered)
