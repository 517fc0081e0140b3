"""`python -m tests.truth.soak`: checks that memory and file descriptors stay flat over many polls.

The exporter runs as a process of its own, in real time, against a simulator that plays faults. With
`--truth` or `--chaos`, runs those tests on virtual time instead, with random seeds.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

import structlog

from tests.harness.virtual_loop import VirtualLoop
from tests.truth.chaos import ChaosResult, run_chaos
from tests.truth.endurance import run_soak
from tests.truth.run import RunResult, run_truth_test

MANY_POLLS = 100_000
CHAOS_DAYS = 1.0
SECONDS_PER_MINUTE = 60.0


def main() -> int:
    """Parse the command line and run; returns 1 if anything is not flat or a page is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.truth.soak", description=__doc__)
    parser.add_argument("--polls", type=int, default=MANY_POLLS)
    parser.add_argument(
        "--minutes", type=float, help="end after so long; a run on virtual time is finished"
    )
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    parser.add_argument("--truth", action="store_true", help="the truth test, seed after seed")
    parser.add_argument("--chaos", action="store_true", help="days of trouble, seed after seed")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    seconds = math.inf if given.minutes is None else given.minutes * SECONDS_PER_MINUTE
    if given.truth:
        return _run_seeds(run_truth_test, Random(given.seed), seconds)
    if given.chaos:
        return _run_seeds(partial(run_chaos, days=CHAOS_DAYS), Random(given.seed), seconds)
    return _soak(given.polls, seconds, given.seed)


def _soak(polls: int, seconds: float, seed: int) -> int:
    _say(f"soak, seed {seed}: {polls:,} polls")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        measured = asyncio.run(run_soak(polls, seconds, seed, Path(directory), _say))
    if measured.samples:
        _say(measured.table())
    _say(f"it took {time.monotonic() - started:.0f} s")
    findings = measured.untrue or list(measured.findings())
    _say("\n".join(findings) or "flat and true")
    return 1 if findings else 0


def _run_seeds(
    run: Callable[[int], Coroutine[None, None, RunResult | ChaosResult]],
    rng: Random,
    seconds: float,
) -> int:
    """Run one seed after another until the time is over, at least one."""
    end = time.monotonic() + seconds
    while True:
        seed = rng.randrange(10**9)
        _say(f"seed {seed}")
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            result = runner.run(run(seed))
        _say(str(result))
        if result.findings:
            _say(result.failure_message())
            return 1
        if time.monotonic() >= end:
            return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - its output


if __name__ == "__main__":
    sys.exit(main())
