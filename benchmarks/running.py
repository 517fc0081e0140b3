"""Run the exporter in a separate process and measure it, mostly from outside."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from benchmarks.processes import line_of, python

LONGEST_WAIT = 180.0  # seconds
CHECK_INTERVAL = 0.02  # seconds


class Worst(NamedTuple):
    """The worst values since the previous request."""

    late: float  # seconds after its due time that a poll started
    block: float  # CPU seconds that the event loop spent in one callback


class Running:
    """A running exporter."""

    def __init__(self, process: subprocess.Popen[str], port: int, started: float) -> None:
        self.started = started
        self._process = process
        self._seen = psutil.Process(process.pid)
        url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=url, timeout=LONGEST_WAIT, trust_env=False)

    def worst(self) -> Worst:
        """The worst values since the previous call. The first call starts the measurement."""
        return Worst(*map(float, line_of(self._process, "worst?").split()))

    def cpu_seconds(self) -> float:
        times = self._seen.cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        """Resident memory in bytes."""
        return int(self._seen.memory_info().rss)

    def page(self) -> str:
        return self.http.get("/metrics").raise_for_status().text

    def failures(self) -> float:
        return value(self.page(), "flashback_api_request_failures_total")

    def first_byte(self) -> float:
        """Seconds until a scrape's first byte; the rest is read too."""
        started = time.monotonic()
        with self.http.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as response:
            response.raise_for_status()
            pieces = response.iter_raw()
            next(pieces)
            took = time.monotonic() - started
            for _ in pieces:
                pass
        return took

    def wait_until(self, is_so: Callable[[], bool], every: float = CHECK_INTERVAL) -> None:
        """Wait for a condition; a refused connection counts as not met. Raises TimeoutError."""
        end = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < end:
            try:
                if is_so():
                    return
            except httpx.TransportError:
                pass
            time.sleep(every)
        raise TimeoutError("the exporter did not reach the expected state")

    def is_ready(self) -> bool:
        return self.http.get("/-/ready").is_success


@contextmanager
def running(config: Path) -> Iterator[Running]:
    """Start the exporter, and stop it at the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = (f"--config.file={config}", "--log.level=error", "--web.enable-lifecycle")
    listening = f"--web.listen-address=127.0.0.1:{port}"
    started = time.monotonic()
    with python("benchmarks.instrumented", "run", *flags, listening) as process:
        exporter = Running(process, port, started)
        with exporter.http:
            yield exporter


def value(page: str, name: str) -> float:
    """The sum of a metric's samples on a page."""
    return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE)))
