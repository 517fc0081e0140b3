"""The process around a command: signals that end it, complaints that a person can act on."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from exporter.clock import SystemClock
from exporter.reload import read_in_time
from exporter.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
PATIENCE_SECONDS = 4.5
"""How long a stop may take. What cannot be cancelled, such as a name look-up that hangs in the C
library, must not keep the process alive for longer than supervisors wait."""

BAD_START = 1
"""Exit code for a bad configuration or an address that cannot be listened on."""

SOME_FAILED = 3
"""Exit code for a command that did what it could, though some buckets failed."""

_log = structlog.get_logger()


async def until_signalled(
    work: Coroutine[object, object, None], *, code_when_forced: int = 0
) -> None:
    """Let `work` run until it ends or a stop signal comes; then it is cancelled and may clean up.

    Where that takes too long the process ends all the same, with `code_when_forced`; a second
    signal ends it at once, with 128 + its number.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    received: list[signal.Signals] = []

    def stop(signum: signal.Signals) -> None:
        if received:
            os._exit(128 + signum)
        received.append(signum)
        _log.info("stopping", signal=signum.name)
        last_resort = threading.Timer(PATIENCE_SECONDS, os._exit, [code_when_forced])
        last_resort.daemon = True
        last_resort.start()
        if task is not None:
            task.cancel()

    for signum in STOP_SIGNALS:
        loop.add_signal_handler(signum, stop, signum)
    try:
        await work
    except asyncio.CancelledError:
        # Ours, and this is the outermost task: the stop that was asked for has happened.
        if not received:
            raise
    if received:
        _log.info("stopped")


def read_or_give_up(read: Callable[..., T], *arguments: object) -> T:
    """What `read` makes of a configuration's files. Raises ConfigError, also where they hang.

    In a thread, so that Ctrl-C ends the command at once.
    """
    return asyncio.run(read_in_time(SystemClock(), partial(read, *arguments)))


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this process have, as programs in Go do."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def complaint(error: Exception) -> int:
    """Tell a person what to do something about; the exit code."""
    text = "\n".join(map(printable, str(error).split("\n")))
    print(text, file=sys.stderr)  # noqa: T201 - for the person who started the program
    return BAD_START
