"""`python -m tests.busy`: the tests three times in a row, on a machine with no time for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BURNERS = 8
RUNS = 3
LONGEST_RUN = 3600  # seconds
TESTS = (sys.executable, "-m", "pytest", "-n", "2")
BURN = "import sys, time\nend = time.monotonic() + {}\nwhile time.monotonic() < end: pass"
"""Keeps a processor busy; ends by itself, whatever becomes of who started it."""


@contextmanager
def burners(count: int, seconds: float) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes burn while the body runs, and for so many seconds at most."""
    command = (sys.executable, "-c", BURN.format(seconds))
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield processes
    finally:
        for each in processes:
            each.terminate()
            each.wait()


def main() -> int:
    """The exit code of the first run that fails, or 0."""
    with burners(BURNERS, RUNS * LONGEST_RUN):
        for _ in range(RUNS):
            done = subprocess.run(TESTS, timeout=LONGEST_RUN, check=False)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
