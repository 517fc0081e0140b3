"""Calls that may block, such as reading a file, kept off the event loop.

Each runs in a daemon thread of its own. asyncio's own pool is not used for them: calls that hang
would use up its few threads, and the interpreter waits for them before it exits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from exporter.clock import Clock

T = TypeVar("T")


class BlockingCalls:
    """Runs blocking calls one at a time, each under a deadline of `seconds`.

    A call that hangs past its deadline keeps its thread: until it ends, no other is started, so
    that one dead mount costs one thread.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._one_at_a_time = asyncio.Lock()
        self._running: asyncio.Future[Any] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` returns or raises; TimeoutError where it, or the one before it, hangs."""
        async with self._clock.timeout(self._seconds), self._one_at_a_time:
            if self._running is not None:
                await asyncio.wait([self._running])
            self._running = in_thread(call)
            return await asyncio.shield(self._running)


def in_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Start `call` in a daemon thread; a future of what it returns or raises."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    future.add_done_callback(_retrieve)
    Thread(target=_run, args=(call, loop, future), daemon=True).start()
    return future


def _run(call: Callable[[], T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[T]) -> None:
    settle: Callable[[], None]
    try:
        settle = partial(future.set_result, call())
    except BaseException as error:  # noqa: BLE001 - raised again where the future is awaited
        settle = partial(future.set_exception, error)
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(lambda: None if future.done() else settle())


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Mark an error as seen: nobody waits for a call that was given up."""
    if not future.cancelled():
        future.exception()
