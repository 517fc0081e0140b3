"""Signals, kept from the first moment of the process until the program acts on them.

The interpreter's own handler, in C, writes each to a pipe, whatever Python code is doing at that
time. What a signal means to a command is `process`' to say. Imports next to nothing, so that it can
be called before the modules of a command are imported, which takes most of a second.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import cache
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def catch(*signums: signal.Signals) -> int:
    """From now on keep these signals instead of doing what they do by default.

    Gives the file descriptor from which their numbers can be read, one byte each: always the same.
    From then on only this may set wakeup descriptors, so no `loop.add_signal_handler`.
    """
    reader = _pipe()
    for signum in signums:
        signal.signal(signum, _caught)
    return reader


@cache
def _pipe() -> int:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _caught(signum: int, _frame: FrameType | None) -> None:
    """Nothing, as a thread reads the pipe; but while the interpreter ends, threads do not run."""
    if sys.is_finalizing():
        os._exit(128 + signum)
