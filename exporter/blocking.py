"""Runs blocking calls off the event loop, and reads files safely.

Each call runs in a daemon thread of its own. asyncio's pool is not used: hanging calls would take
all of its few threads, and the interpreter would wait for those at exit. Files named in a
configuration must be regular files of a limited size.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias, TypeVar

from exporter.clock import Clock

T = TypeVar("T")

THREAD_NAME = "blocking call"


class BlockingCalls:
    """Runs blocking calls one at a time, each with a timeout of `seconds`.

    A call that times out keeps its thread. No other call starts until it ends, so a dead mount
    costs at most one thread.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._one_at_a_time = asyncio.Lock()
        self._running: asyncio.Future[Any] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Return or raise what `call` does; TimeoutError if it, or the call before it, hangs."""
        async with self._clock.timeout(self._seconds), self._one_at_a_time:
            if self._running is not None:
                await asyncio.wait([self._running])
            self._running = in_thread(call)
            return await asyncio.shield(self._running)


def in_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Start `call` in a daemon thread; returns a future for its result."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    future.add_done_callback(_retrieve)
    Thread(target=_run, args=(call, loop, future), name=THREAD_NAME, daemon=True).start()
    return future


def _run(call: Callable[[], T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[T]) -> None:
    settle: Callable[[], None]
    try:
        settle = partial(future.set_result, call())
    except BaseException as error:  # noqa: BLE001 - raised again where the future is awaited
        settle = partial(future.set_exception, error)
    with suppress(RuntimeError):  # the loop is closed, so nobody awaits the result
        loop.call_soon_threadsafe(lambda: None if future.done() else settle())


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Mark an exception as retrieved, so that asyncio does not report it if nobody awaits it."""
    if not future.cancelled():
        future.exception()


SECRET_LIMIT = 2**20
"""Maximum size, in bytes, of a file with a token or password."""

CONFIG_LIMIT = 64 * 2**20
"""Maximum size, in bytes, of any other file: configuration, bucket files, certificates."""

Fingerprint: TypeAlias = tuple[int, ...]


def read_file(path: Path, limit: int = CONFIG_LIMIT) -> bytes:
    """The content of a regular file. Symbolic links are followed, because Kubernetes uses them.

    Raises OSError, whose `strerror` says what is wrong, also if the file is not regular (such as a
    FIFO or a device) or larger than `limit` bytes, or its name is invalid.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - opening a device may have side effects
    except ValueError as error:  # the name contains a NUL character
        raise FileNotFoundError(errno.ENOENT, "no file can have this name", str(path)) from error
    _require_regular(found.st_mode, path)
    # Without O_NONBLOCK, open would hang if a FIFO has replaced the file since the check.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - Path.open takes no descriptor
        _require_regular(os.fstat(descriptor).st_mode, path)
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit // 2**20} MiB", str(path))
    return content


def fingerprint(path: Path) -> Fingerprint | None:
    """A value that changes when the file's content, permissions or owner change, or it is replaced.

    None if the file does not exist or cannot be examined.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def _require_regular(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
