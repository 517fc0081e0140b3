"""`python -m benchmarks.instrumented COMMAND…`: the exporter with two measurements.

They wrap the scheduler and the event loop, at little cost. Each line on standard input requests the
worst values since the previous line; its end stops the exporter.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from asyncio.events import Handle
from typing import Any
from unittest.mock import patch

NOT_INSTALLED = ("click", "greenlet", "pygments", "rich")
"""Optional packages of libraries, hidden because only developers have them installed."""


def run() -> None:
    sys.modules.update(dict.fromkeys(NOT_INSTALLED))  # type: ignore[arg-type] # None: not there
    from exporter.cli import main  # noqa: PLC0415 - after the packages are hidden
    from exporter.polling.scheduler import Scheduler  # noqa: PLC0415

    worst = {"late": 0.0, "held": 0.0}
    pop_due, run_handle = Scheduler.pop_due, Handle._run  # noqa: SLF001 - the loop has no public hook

    def watched_pop(scheduler: Scheduler, now: float, *args: Any) -> Any:  # noqa: ANN401 - as it is
        poll = pop_due(scheduler, now, *args)
        if poll is not None:
            worst["late"] = max(worst["late"], now - poll.due)
        return poll

    def watched_run(handle: Handle) -> None:
        started = time.thread_time()
        run_handle(handle)
        worst["held"] = max(worst["held"], time.thread_time() - started)

    threading.Thread(target=_answer, args=(worst,), daemon=True).start()
    with (
        patch.object(Scheduler, "pop_due", watched_pop),
        patch.object(Handle, "_run", watched_run),
    ):
        main()


def _answer(worst: dict[str, float]) -> None:
    for _ in sys.stdin:
        print(*worst.values(), flush=True)
        worst.update(late=0.0, held=0.0)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    run()
