"""Contestants in processes of their own, and what a round costs them in CPU time.

Rounds alternate between the contestants, so that a busy neighbour hurts all of them alike, and the
median of the rounds counts. What is measured stands in the modules of the benchmarks.
"""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, NamedTuple, TypeAlias

Round: TypeAlias = Callable[[], int]
"""Does some work; the number of operations that were in it."""

Preparation: TypeAlias = Callable[[], AbstractContextManager[Round]]
"""What a contestant sets up before its first round. Can be pickled."""

Serving: TypeAlias = Callable[[Connection], None]
"""A server: sends its port, and serves until the connection's other end closes."""

LONGEST_ROUND = 180.0
"""A process that has not answered for this long, seconds, is taken for dead."""

SPAWNING = multiprocessing.get_context("spawn")
"""A new interpreter for each: no memory and no CPU time that somebody else has spent."""

NOT_INSTALLED = ("click", "greenlet", "pygments", "rich")
"""What libraries of the exporter load where they find it, and only who works on it has installed:
what is measured does without, as it does with users."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation takes: the median of the rounds."""

    cpu_seconds: float
    peak_bytes: float  # resident, of the whole process so far


class Server(NamedTuple):
    """A server in another process."""

    pid: int
    port: int


def costs(contestants: Mapping[str, Preparation], rounds: int) -> dict[str, Cost]:
    """What each contestant's operations cost, after a round that does not count."""
    with ExitStack() as stack:
        pipes = {
            name: stack.enter_context(process(_contest, preparation))
            for name, preparation in contestants.items()
        }
        for _, pipe in pipes.values():
            _received(pipe)
        samples: dict[str, list[Cost]] = {name: [] for name in pipes}
        for _ in range(rounds + 1):
            for name, (_, pipe) in pipes.items():
                pipe.send("round")
                samples[name].append(_received(pipe))
    return {name: _median(counted) for name, (_, *counted) in samples.items()}


@contextmanager
def server(serve: Serving) -> Iterator[Server]:
    """A server in a process of its own while the body runs."""
    with process(serve) as (pid, pipe):
        yield Server(pid, _received(pipe))


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
            spent = time.process_time() - started
            pipe.send(Cost(spent / operations, _peak_bytes()))


def _is_asked(pipe: Connection) -> bool:
    try:
        pipe.recv()
    except EOFError:
        return False
    return True


def _received(pipe: Connection) -> Any:  # noqa: ANN401 - what a process of ours has sent
    if not pipe.poll(LONGEST_ROUND):
        raise TimeoutError("a benchmark's process does not answer")
    return pipe.recv()


def _median(samples: list[Cost]) -> Cost:
    return Cost(
        median(sample.cpu_seconds for sample in samples),
        max(sample.peak_bytes for sample in samples),
    )


def _peak_bytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
