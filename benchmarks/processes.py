"""What is measured runs in processes of its own; what a round of work costs there in CPU time.

Rounds alternate between the contestants, so that a busy neighbour hurts all of them alike, and the
median of the rounds counts.
"""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, TypeAlias

Round: TypeAlias = Callable[[], int]
"""Does some work; the number of operations that were in it."""

Preparation: TypeAlias = Callable[[], AbstractContextManager[Round]]
"""What a contestant sets up before its first round. Can be pickled."""

LONGEST_SILENCE = 180.0
"""A process that has not answered for this long, seconds, is taken for dead."""

SPAWNING = multiprocessing.get_context("spawn")
"""A new interpreter for each: no memory and no CPU time that somebody else has spent."""

NOT_INSTALLED = ("click", "greenlet", "pygments", "rich")
"""What libraries of the exporter load where they find it, and only who works on it has installed:
what is measured does without, as it does with users."""


def cpu_seconds(contestants: Mapping[str, Preparation], rounds: int) -> dict[str, float]:
    """What an operation of each contestant costs, after a round that does not count."""
    with ExitStack() as stack:
        pipes = {
            name: stack.enter_context(process(_contest, preparation))[1]
            for name, preparation in contestants.items()
        }
        for pipe in pipes.values():
            received(pipe)
        samples: dict[str, list[float]] = {name: [] for name in pipes}
        for _ in range(rounds + 1):
            for name, pipe in pipes.items():
                pipe.send("round")
                samples[name].append(received(pipe))
    return {name: median(counted) for name, (_, *counted) in samples.items()}


@contextmanager
def process(target: Callable[..., None], *args: object) -> Iterator[tuple[int, Connection]]:
    """A process that runs `target(*args, connection)`; the connection's end is its end."""
    here, there = SPAWNING.Pipe()
    work = pickle.dumps((target, args))
    child = SPAWNING.Process(target=_run, args=(work, there), daemon=True)
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


def _run(work: bytes, pipe: Connection) -> None:
    """Unpack the work, which imports what it needs, as where only the exporter is installed."""
    sys.modules.update(dict.fromkeys(NOT_INSTALLED))  # type: ignore[arg-type] # None: not there
    target, args = pickle.loads(work)  # noqa: S301 - our own
    target(*args, pipe)


def _contest(preparation: Preparation, pipe: Connection) -> None:
    with preparation() as do_round:
        gc.collect()
        pipe.send("ready")
        while _is_asked(pipe):
            started = time.process_time()
            operations = do_round()
            pipe.send((time.process_time() - started) / operations)


def _is_asked(pipe: Connection) -> bool:
    try:
        pipe.recv()
    except EOFError:
        return False
    return True
