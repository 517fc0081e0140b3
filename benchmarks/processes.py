"""Measure CPU time, and run helper processes."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import TypeAlias

Round: TypeAlias = Callable[[], int]
"""Does some work and returns the number of operations."""


def cpu_seconds(candidates: Mapping[str, Round], rounds: int) -> dict[str, float]:
    """The median CPU seconds per operation of each candidate, after one warm-up round.

    Rounds alternate, so that other load on the machine affects all candidates.
    """
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name, do_round in candidates.items():
            gc.collect()
            started = time.process_time()
            operations = do_round()
            samples[name].append((time.process_time() - started) / operations)
    return {name: median(counted) for name, (_, *counted) in samples.items()}


@contextmanager
def python(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m MODULE`, controlled by lines on standard input; it ends with standard input."""
    command = (sys.executable, "-m", module, *arguments)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        try:
            yield process
        finally:
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def line_of(process: subprocess.Popen[str], asked: str = "") -> str:
    """The next line of output, after sending `asked`. Raises RuntimeError if there is none."""
    if process.stdin is None or process.stdout is None:
        raise TypeError("the process has no pipes")
    if asked:
        print(asked, file=process.stdin, flush=True)
    if line := process.stdout.readline():
        return line
    raise RuntimeError("a process of the benchmark has ended")
