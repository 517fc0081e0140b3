"""`python -m benchmarks.instrumented COMMAND…`: the exporter with two measurements.

The first line on standard input wraps the scheduler and the event loop, which takes a few percent
of the exporter's CPU time. Each line requests the worst values since the previous one. The end of
standard input stops the exporter.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from asyncio.events import Handle
from typing import Any

NOT_INSTALLED = ("click", "greenlet", "pygments", "rich")
"""Optional packages of libraries, hidden because only developers have them installed."""


def run() -> None:
    sys.modules.update(dict.fromkeys(NOT_INSTALLED))  # type: ignore[arg-type] # None: not there
    from exporter.cli import main  # noqa: PLC0415 - without those

    threading.Thread(target=_answer, daemon=True).start()
    main()


def _watch(worst: dict[str, float]) -> None:
    from exporter.polling.scheduler import Scheduler  # noqa: PLC0415 - after the exporter's own start

    pop_due, run_handle = Scheduler.pop_due, Handle._run  # noqa: SLF001 - the loop has no public hook

    def watched_pop(scheduler: Scheduler, now: float, *args: Any) -> Any:  # noqa: ANN401 - as it is
        poll = pop_due(scheduler, now, *args)
        if poll is not None:
            worst["late"] = max(worst["late"], now - poll.due)
        return poll

    def watched_run(handle: Handle) -> None:
        started = time.thread_time()
        run_handle(handle)
        worst["block"] = max(worst["block"], time.thread_time() - started)

    Scheduler.pop_due = watched_pop  # type: ignore[assignment,method-assign]
    Handle._run = watched_run  # type: ignore[assignment,method-assign] # noqa: SLF001 - as above


def _answer() -> None:
    worst = {"late": 0.0, "block": 0.0}
    for number, _ in enumerate(sys.stdin):
        if not number:
            _watch(worst)
        print(*worst.values(), flush=True)
        worst.update(late=0.0, block=0.0)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    run()
