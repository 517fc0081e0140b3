"""The commands. What a person types becomes options, what happens becomes an exit code.

Exit codes: 0 a clean stop, 1 a bad configuration, no address to listen on, or a bug, 2 usage,
3 some buckets or days failed; a second signal 128 + its number.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from exporter.cli.backfill import backfill
from exporter.cli.check import check
from exporter.cli.demo import demo
from exporter.cli.once import once
from exporter.cli.run import run
from exporter.cli.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

COMMANDS: Mapping[str, Callable[[Sequence[str], Mapping[str, str]], int]] = {
    "run": run,
    "check": check,
    "once": once,
    "backfill": backfill,
    "demo": demo,
    "simulate": simulate,
}


def main() -> int:
    """Run the command that the arguments name, `run` where they name none; the exit code."""
    words = sys.argv[1:]
    command = words.pop(0) if words and words[0] in COMMANDS else "run"
    try:
        return COMMANDS[command](words, os.environ)
    except KeyboardInterrupt:  # where no handler turns Ctrl-C into a clean stop
        return 128 + signal.SIGINT
