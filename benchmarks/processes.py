"""What a round of work costs in CPU time; processes, and what they are told and say."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, TypeAlias

Round: TypeAlias = Callable[[], int]
"""Does some work; the number of operations that were in it."""

LONGEST_SILENCE = 180.0
"""A process that has not answered for this long, seconds, is taken for dead."""

SPAWNING = multiprocessing.get_context("spawn")
"""A new interpreter for each: no memory and no CPU time that somebody else has spent."""


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
def process(target: Callable[..., None], *args: object) -> Iterator[tuple[int, Connection]]:
    """A process that runs `target(*args, connection)`; the connection's end is its end."""
    here, there = SPAWNING.Pipe()
    child = SPAWNING.Process(target=target, args=(*args, there), daemon=True)
    child.start()
    there.close()
    if child.pid is None:
        raise RuntimeError("a started process has no id")
    try:
        yield child.pid, here
    finally:
        here.close()
        child.join(5)
        child.kill()


def received(pipe: Connection) -> Any:  # noqa: ANN401 - what a process of ours has sent
    """What the process has to say. Raises TimeoutError."""
    if not pipe.poll(LONGEST_SILENCE):
        raise TimeoutError("a benchmark's process does not answer")
    return pipe.recv()
