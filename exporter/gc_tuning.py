"""When cycles of dead objects are looked for, so that the search never holds the event loop long.

Nearly all that the exporter drops is freed at once, by counting references; this is for the rest.
It governs the whole interpreter and belongs to the process that serves, to nobody else.

The interpreter goes through all long-lived objects once a quarter as many more have come, even if
none of those stayed: each poll replaces its bucket's reading. With ten thousand buckets that takes
a tenth of a second, every few seconds. Here what has survived is put out of its sight ("frozen"),
and all is gone through only when more has stayed.
"""

from __future__ import annotations

import gc

import structlog

from exporter.clock import Clock

INTERVAL = 10.0
"""How often the survivors are frozen, seconds.

What came meanwhile is what a search goes through: some 10 ms for ten thousand buckets at a minute
each. More often would freeze more of what is about to die, such as connections and retries.
"""

CHECK_EVERY = 30
"""So many times between two counts of what has stayed: to count takes some 20 ms itself."""

GROWTH = 1.5
"""By which factor the frozen objects may grow, dead cycles among them, before all are gone through.

Half of what a process holds, or more, is text, which is never part of a cycle.
"""

FULL_SEARCH_EVERY = 1000
"""After so many searches among the young the interpreter goes through all that is not frozen, of
its own accord: so many that it hardly ever does."""

ALLOWED_OBJECTS = 50_000
"""As many more are always allowed: a small process is not searched for a few megabytes."""

_log = structlog.get_logger()


class GcTuner:
    """Collects garbage while it runs; what it has frozen is as before afterwards."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._allowed: float | None = None
        """How many frozen objects are not too many; None before they are first counted."""

    async def run(self) -> None:
        thresholds = gc.get_threshold()
        gc.set_threshold(*thresholds[:2], FULL_SEARCH_EVERY)
        try:
            while True:
                for _ in range(CHECK_EVERY):
                    _freeze_survivors()
                    await self._clock.sleep(INTERVAL)
                self._search_all_if_grown()
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()

    def _search_all_if_grown(self) -> None:
        """Go through everything if much more has stayed than when that was last done."""
        frozen = gc.get_freeze_count()
        if self._allowed is None:
            self._allowed = _allowed_objects(frozen)
        elif frozen > self._allowed:
            gc.unfreeze()
            _freeze_survivors()
            kept = gc.get_freeze_count()
            self._allowed = _allowed_objects(kept)
            _log.debug("garbage_collected", kept=kept, unreachable=frozen - kept)


def _allowed_objects(frozen: int) -> float:
    return max(frozen * GROWTH, frozen + ALLOWED_OBJECTS)


def _freeze_survivors() -> None:
    """First collect: what is dead when it is frozen would stay for long."""
    gc.collect()
    gc.freeze()
