"""What a round of work costs in CPU time, and processes that run beside this one."""

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
"""Does some work; the number of operations that were in it."""


def cpu_seconds(contestants: Mapping[str, Round], rounds: int) -> dict[str, float]:
    """What an operation of each contestant costs, after a round that does not count.

    Rounds alternate, so that a busy neighbour hurts all alike; the median of the rounds counts.
    """
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, do_round in contestants.items():
            gc.collect()
            started = time.process_time()
            operations = do_round()
            samples[name].append((time.process_time() - started) / operations)
    return {name: median(counted) for name, (_, *counted) in samples.items()}


@contextmanager
def python(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m MODULE`, talked to in lines; it ends when nobody talks to it any more."""
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
    """What the process says next, or to what it is asked. Raises RuntimeError if it has ended."""
    if process.stdin is None or process.stdout is None:
        raise TypeError("a process that is talked to has pipes")
    if asked:
        print(asked, file=process.stdin, flush=True)
    if line := process.stdout.readline():
        return line
    raise RuntimeError("a process of the benchmark has ended")
