"""`python -m tests.busy`: run the tests three times on a machine with overloaded CPUs."""

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
"""Keeps a CPU busy, and ends by itself even if the parent process dies."""


@contextmanager
def burners(count: int, seconds: float) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep `count` CPUs busy while the body runs, for at most `seconds`."""
    command = (sys.executable, "-c", BURN.format(seconds))
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield processes
    finally:
        for each in processes:
            each.terminate()
            each.wait()


def main() -> int:
    """Run the tests; return the exit code of the first failing run, or 0."""
    with burners(BURNERS, RUNS * LONGEST_RUN):
        for _ in range(RUNS):
            done = subprocess.run(TESTS, timeout=LONGEST_RUN, check=False)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
