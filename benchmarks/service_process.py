"""The command `run` in a process of its own, with two instruments, and what can be asked about it.

The instruments are wrapped around the scheduler and the event loop from outside, and cost little.
All else is seen from outside: the page, and what the system says of the process.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import time
from asyncio.events import Handle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import httpx
import psutil

from benchmarks.processes import process, received

NOT_INSTALLED = ("click", "greenlet", "pygments", "rich")
"""What libraries load where they find it, and only who works on the exporter has installed: what is
measured does without, as it does with users."""

LONGEST_WAIT = 180.0  # seconds
BETWEEN_LOOKS = 0.02  # seconds


class Worst(NamedTuple):
    """What was worst since it was last asked for."""

    late: float  # seconds after its due time that a poll started
    held: float  # CPU seconds that the event loop spent in one callback


class Service:
    """The exporter at work, seen from outside."""

    def __init__(self, pid: int, pipe: Connection, port: int, started: float) -> None:
        self.started = started
        self._process = psutil.Process(pid)
        self._pipe = pipe
        url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=url, timeout=LONGEST_WAIT, trust_env=False)

    def worst(self) -> Worst:
        """And begin anew."""
        self._pipe.send("worst")
        return Worst(*received(self._pipe))

    def cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        """Bytes that are resident now."""
        return int(self._process.memory_info().rss)

    def page(self) -> str:
        return self.http.get("/metrics").raise_for_status().text

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

    def wait_until(self, is_so: Callable[[], bool], every: float = BETWEEN_LOOKS) -> None:
        """Look again and again; while nothing is served yet, it is not so. Raises TimeoutError."""
        end = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < end:
            try:
                if is_so():
                    return
            except httpx.TransportError:
                pass
            time.sleep(every)
        raise TimeoutError("the exporter does not get there")

    def is_ready(self) -> bool:
        return self.http.get("/-/ready").is_success


@contextmanager
def service(config: Path) -> Iterator[Service]:
    """The exporter, from its start to its end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = time.monotonic()
    with process(_run, str(config), port) as (pid, pipe):
        running = Service(pid, pipe, port, started)
        with running.http:
            yield running


def value(page: str, name: str) -> float:
    """The sum of a metric's samples on a page."""
    return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE)))


def _run(config: str, port: int, pipe: Connection) -> None:
    sys.modules.update(dict.fromkeys(NOT_INSTALLED))  # type: ignore[arg-type] # None: not there
    from exporter.cli import main  # noqa: PLC0415 - without those
    from exporter.polling.scheduler import Scheduler  # noqa: PLC0415

    sys.argv = [
        *("flashback-exporter", "run", f"--config.file={config}", "--log.level=error"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--web.enable-lifecycle"),
    ]
    worst = {"late": 0.0, "held": 0.0}
    pop_due, run_handle = Scheduler.pop_due, Handle._run  # noqa: SLF001 - the loop tells nobody else

    def watched_pop(scheduler: Scheduler, now: float, *args: Any) -> Any:  # noqa: ANN401 - as it is
        poll = pop_due(scheduler, now, *args)
        if poll is not None:
            worst["late"] = max(worst["late"], now - poll.due)
        return poll

    def watched_run(handle: Handle) -> None:
        started = time.thread_time()
        run_handle(handle)
        worst["held"] = max(worst["held"], time.thread_time() - started)

    threading.Thread(target=_answer, args=(worst, pipe), daemon=True).start()
    with (
        patch.object(Scheduler, "pop_due", watched_pop),
        patch.object(Handle, "_run", watched_run),
    ):
        main()


def _answer(worst: dict[str, float], pipe: Connection) -> None:
    """Tell what was worst whenever asked; stop the exporter when nobody is there to ask."""
    while True:
        try:
            pipe.recv()
        except EOFError:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        pipe.send(tuple(worst.values()))
        worst.update(late=0.0, held=0.0)
