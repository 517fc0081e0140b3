"""The commands. What a person types becomes options, what happens becomes an exit code.

Exit codes: 0 a clean stop, 1 a bad configuration, no address to listen on, or a bug, 2 usage,
3 some buckets or days failed; a second signal 128 + its number.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

from exporter.cli.signals import STOP_SIGNALS, catch

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
