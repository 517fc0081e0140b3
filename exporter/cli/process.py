"""The process of a command: its signals, its log and its error messages."""

from __future__ import annotations

import asyncio
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from threading import Thread
from typing import TypeVar

import structlog

from exporter.cli import FAILURE, STOP_SIGNALS, call_at_end, catch, write_error
from exporter.clock import SystemClock
from exporter.logs import BackgroundStream, configure
from exporter.model import printable
from exporter.polling.reload import read_in_time

T = TypeVar("T")

STOP_SECONDS = 4.5
"""How long a stop may take. A call that cannot be cancelled, such as a name lookup that hangs in
the C library, must not keep the process alive for longer than supervisors wait."""

LOG_SECONDS = 1.0
"""How long the process waits at exit for its log to be written."""

SOME_FAILED = 3
"""Exit code of a command that finished, but some buckets failed."""

_log = structlog.get_logger()


def start_log(level: str, log_format: str) -> BackgroundStream:
    """Log to standard error, and let a thread write everything that is sent there.

    At exit the process waits up to `LOG_SECONDS` for the rest to be written.
    """
    stream = BackgroundStream(sys.stderr)
    sys.stderr = stream
    call_at_end(partial(stream.drain, LOG_SECONDS))
    configure(level, log_format, stream)
    return stream


async def until_signalled(
    work: Coroutine[object, object, None],
    *,
    code_when_forced: int = 0,
    on_sighup: Callable[[], None] = lambda: None,
) -> None:
    """Run `work` until it ends, or cancel it at a stop signal.

    If its clean-up takes too long, the process ends with `code_when_forced`. A second signal ends
    the process at once, with 128 + its number. `on_sighup` is called for each caught SIGHUP.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    received: list[signal.Signals] = []

    def stop(signum: signal.Signals) -> None:
        received.append(signum)
        _log.info("stopping", signal=signum.name)
        if task is not None:
            task.cancel()

    reader = catch(*STOP_SIGNALS)
    act = partial(_act_on_signals, reader, loop, stop, on_sighup, code_when_forced)
    Thread(target=act, daemon=True).start()
    try:
        await work
    except asyncio.CancelledError:
        # Our own cancellation, in the outermost task: the stop is complete.
        if not received:
            raise
    if received:
        _log.info("stopped")


def read_or_give_up(read: Callable[..., T], *arguments: object) -> T:
    """Read configuration files in a thread, so that Ctrl-C ends the command at once.

    Raises ConfigError, also if reading hangs.
    """
    return asyncio.run(read_in_time(SystemClock(), partial(read, *arguments)))


def _act_on_signals(
    reader: int,
    loop: asyncio.AbstractEventLoop,
    stop: Callable[[signal.Signals], None],
    on_sighup: Callable[[], None],
    code_when_forced: int,
) -> None:
    """Pass signals to the event loop, and end the process if it does not stop in time.

    Runs in a thread, so that it works while the event loop is blocked.
    """
    deadline: float | None = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([reader], [], [], left)[0]:
            os._exit(code_when_forced)
        for number in os.read(reader, 64):
            if number == signal.SIGHUP:
                _tell(loop, on_sighup)
            elif number in STOP_SIGNALS:
                is_first = deadline is None
                if not is_first or not _tell(loop, partial(stop, signal.Signals(number))):
                    os._exit(128 + number)
                deadline = time.monotonic() + STOP_SECONDS


def _tell(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> bool:
    """Schedule a call in the event loop; False if the loop has ended."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return False
    return True


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard limit, as programs in Go do."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def print_error(error: Exception) -> int:
    """Print an error for the user and return the exit code."""
    write_error("\n".join(map(printable, str(error).split("\n"))))
    return FAILURE
