"""Calls that may block, kept off the event loop, and the reading of files, which may block too.

Each call runs in a daemon thread of its own. asyncio's own pool is not used for them: calls that
hang would use up its few threads, and the interpreter waits for them before it exits. Files that
people point the exporter at are regular ones only, of a bounded size.
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
    Thread(target=_run, args=(call, loop, future), name=THREAD_NAME, daemon=True).start()
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


SECRET_LIMIT = 2**20
"""Bytes of a file that holds a token or a password."""

CONFIG_LIMIT = 64 * 2**20
"""Bytes of any other file: configuration, bucket files, certificates."""

Fingerprint: TypeAlias = tuple[int, ...]


def read_file(path: Path, limit: int = CONFIG_LIMIT) -> bytes:
    """The whole content of a regular file. Symbolic links are followed, as Kubernetes needs.

    Raises OSError, whose `strerror` says what is wrong, also for what is no regular file, such as
    a FIFO or a device, for more than `limit` bytes, and for a name that no file can have.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - opening a device may have effects
    except ValueError as error:  # a NUL character
        raise FileNotFoundError(errno.ENOENT, "no file can have this name", str(path)) from error
    _require_regular(found.st_mode, path)
    # Without O_NONBLOCK, a FIFO that takes the file's place now would hang the open.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - of a descriptor
        _require_regular(os.fstat(descriptor).st_mode, path)
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit // 2**20} MiB", str(path))
    return content


def fingerprint(path: Path) -> Fingerprint | None:
    """A value that changes when the file, or who may read it, is changed, or when it is replaced.

    None while there is none.
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
