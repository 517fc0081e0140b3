"""The entry of the program: from arguments to a command, from what happens to an exit code.

Exit codes: 0 a clean stop, 1 a bad configuration, no address to listen on, or a bug, 2 usage,
3 some buckets or days failed; a second signal 128 + its number. Signals are kept from the first
moment of the process until a command acts on them: the interpreter's own handler, in C, writes each
to a pipe, whatever Python code is doing. So this imports next to nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import cache
from importlib import import_module
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
NAMES = ("run", "check", "once", "backfill", "demo", "simulate")

_KEPT_SIGNALS = {
    "run": (signal.SIGHUP, *STOP_SIGNALS),
    "demo": STOP_SIGNALS,
    "simulate": STOP_SIGNALS,
}
"""What a command acts on as soon as it can, however early it comes."""


def main() -> int:
    """Run the command that the arguments name, `run` where they name none; the exit code."""
    words = sys.argv[1:]
    name = words.pop(0) if words and words[0] in NAMES else "run"
    if name in _KEPT_SIGNALS:
        catch(*_KEPT_SIGNALS[name])
    try:
        # Imported only now: it takes most of a second, in which signals are to be kept already.
        parse = import_module("exporter.cli.commands").parse
        values = parse(name, words, os.environ)
        module = import_module(f"exporter.cli.{name}")
        code: int = getattr(module, name)(values, os.environ)
    except KeyboardInterrupt:  # where no handler turns Ctrl-C into a clean stop
        return 128 + signal.SIGINT
    return code


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
