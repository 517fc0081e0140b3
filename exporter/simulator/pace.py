"""Simulated time: a clock that starts at a chosen moment and runs at a chosen speed.

The simulator itself asks no clock: it is handed a function like the one made here.
"""

import time
from collections.abc import Callable


def paced(
    start: float, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """A `now` that says `start` (Unix time) at first and then runs `speed` times real time."""
    origin = monotonic()
    return lambda: start + (monotonic() - origin) * speed
