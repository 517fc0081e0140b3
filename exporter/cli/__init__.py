"""The program's entry point: runs the command that the arguments name, and sets the exit code.

Exit codes: 0 clean stop; 1 invalid configuration, failed `check --live`, no address to listen on,
failed write, or a bug; 2 usage error; 3 some buckets or days failed; 141 standard output is a
closed pipe; 128 plus the signal's number if it ends a short command or is a second stop signal.
Signals that arrive before the command can handle them are queued in a pipe by the interpreter's own
handler, so none is lost. This module imports very little, so that the queue exists early.
"""

from __future__ import annotations

import atexit
import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import FrameType
from typing import NoReturn

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
NAMES = ("run", "check", "once", "backfill", "demo", "simulate")

FAILURE = 1
"""Exit code for a bad configuration, a failed check or write, an unusable address, or a bug."""

BROKEN_PIPE = 128 + signal.SIGPIPE

_KEPT_SIGNALS = {
    "run": (signal.SIGHUP, *STOP_SIGNALS),
    "demo": STOP_SIGNALS,
    "simulate": STOP_SIGNALS,
}
"""Signals that are kept until the command can handle them."""


def main() -> NoReturn:
    """Run the command that the arguments name, and end the process with its exit code."""
    try:
        code = run_command()
    except Exception as error:  # noqa: BLE001 - a bug, printed as usual
        sys.excepthook(type(error), error, error.__traceback__)
        code = FAILURE
    atexit._run_exitfuncs()  # noqa: SLF001 - as at any other exit
    # A normal interpreter shutdown aborts the process if a thread is still running bcrypt.
    os._exit(code)


def run_command() -> int:
    """Run the command that the arguments name, by default `run`, and return the exit code."""
    _prepare_streams()  # before any other file is opened
    words = sys.argv[1:]
    name = words.pop(0) if words and words[0] in NAMES else "run"
    if name in _KEPT_SIGNALS:
        catch(*_KEPT_SIGNALS[name])
    else:
        for signum in STOP_SIGNALS:  # as process 1 of a container it would ignore them by default
            if signal.getsignal(signum) is not signal.SIG_IGN:  # as in background jobs of a shell
                signal.signal(signum, _end)
    try:
        # Imported here, after signals are kept: it takes most of a second.
        parse = import_module("exporter.cli.commands").parse
        values = parse(name, words, os.environ)
        module = import_module(f"exporter.cli.{name}")
        code: int = getattr(module, name)(values, os.environ)
    except SystemExit as end:  # a usage error, -h, --version, a write that failed
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        write_error(str(end.code))
        return FAILURE
    return code


def _prepare_streams() -> None:
    """Escape what a stream cannot encode, and reserve the descriptors of closed streams."""
    if sys.stdout is None:
        sys.stdout = _null_stream(1, os.O_RDONLY)  # writes to it fail
    if sys.stderr is None:
        sys.stderr = _null_stream(2, os.O_WRONLY)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _null_stream(number: int, flags: int) -> io.TextIOWrapper:
    _redirect_to_null(number, flags)
    return open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def _redirect_to_null(number: int, flags: int = os.O_WRONLY) -> None:
    device = os.open(os.devnull, flags)
    if device != number:
        os.dup2(device, number)
        os.close(device)


def write_out(output: str | bytes) -> None:
    """Write to standard output and flush it. Raises SystemExit if that fails."""
    try:
        if isinstance(output, bytes):
            sys.stdout.buffer.write(output)
        else:
            sys.stdout.write(output)
        sys.stdout.flush()
    except OSError as error:
        _redirect_to_null(sys.stdout.fileno())  # or a later flush of its buffer fails again
        if isinstance(error, BrokenPipeError):
            raise SystemExit(BROKEN_PIPE) from error
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        remedy = "free some space" if is_full else "redirect it to a file or a terminal"
        write_error(f"cannot write to standard output: {error.strerror}: {remedy}")
        raise SystemExit(FAILURE) from error


def write_error(text: str) -> None:
    """Print to standard error. If that fails, only the exit code reports the error."""
    try:
        sys.stderr.write(text.removesuffix("\n") + "\n")
        sys.stderr.flush()
    except OSError:
        _redirect_to_null(sys.stderr.fileno())


def catch(*signums: signal.Signals) -> int:
    """Queue these signals in a pipe instead of taking their default action.

    Returns the file descriptor from which their numbers can be read, one byte each; it is always
    the same. Do not use `loop.add_signal_handler`, which replaces Python's wakeup descriptor.
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
    """Do nothing: a thread reads the pipe. At shutdown there is none: end the process."""
    if sys.is_finalizing():
        os._exit(128 + signum)


def call_at_end(call: Callable[[], object]) -> None:
    """Call it before the process ends, even if a signal ends a short command."""
    atexit.register(call)
    _calls_at_end.append(call)


_calls_at_end: list[Callable[[], object]] = []


def _end(signum: int, _frame: FrameType | None) -> None:
    """End a command that has nothing to clean up, without a traceback."""
    while _calls_at_end:  # empty for a second signal, which ends the process at once
        _calls_at_end.pop()()
    os._exit(128 + signum)
