"""Formats log events as logfmt or JSON, one line each, and writes them to standard error.

Callers use `structlog.get_logger()` and pass an event name and its fields as keywords. A thread
does the writing, so a slow reader of the log never blocks the exporter.
"""

from __future__ import annotations

import io
import logging
import os
import select
from collections import deque
from collections.abc import Callable, MutableMapping
from threading import Condition, Thread
from typing import Any, TextIO

import structlog

from exporter.clock import Clock
from exporter.model import printable

LONGEST_VALUE = 16_384
"""Characters of one value; the middle of a longer value is left out."""

QUEUE_LIMIT = 1_048_576
"""Characters that may wait to be written: a few thousand lines."""

PERIOD = 60.0
"""Seconds over which a `LineLimit` counts."""


def configure(level: str, log_format: str, stream: TextIO | BackgroundStream) -> None:
    """Send events of `level` and above to `stream`, including those of libraries."""
    shared: list[Callable[..., Any]] = [
        structlog.processors.add_log_level,
        _shorten_warning,
        structlog.processors.TimeStamper(fmt="iso", key="ts"),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.processors.format_exc_info],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _truncate_values,
                _renderer(log_format),
                _printable_line,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper().replace("WARN", "WARNING"))
    # httpx logs each request at INFO, which would repeat what the metrics count.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _shorten_warning(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if event["level"] == "warning":
        event["level"] = "warn"
    return event


def _truncate_values(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    half = LONGEST_VALUE // 2
    for key, value in event.items():
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            event[key] = f"{value[:half]}…{value[-half:]}"
    return event


def _printable_line(_logger: object, _method: str, line: Any) -> str:  # noqa: ANN401 - structlog's
    """Escape whatever could split, hide or reorder the line, in values of any type.

    The escapes up to U+FFFF are those of JSON and quoted logfmt, so a parser restores them.
    """
    return printable(line)


def _renderer(log_format: str) -> Callable[..., Any]:
    if log_format == "json":
        return structlog.processors.JSONRenderer(sort_keys=False)
    return structlog.processors.LogfmtRenderer(key_order=["ts", "level", "event"])


class LineLimit:
    """Limits how many lines of one kind are written per period, and counts the rest.

    `on_full` is called once per period, when a line is left out. In a later period, before its
    first line, `on_next` is called with the number of lines that were left out.
    """

    def __init__(
        self,
        clock: Clock,
        lines: int,
        on_full: Callable[[], None],
        on_next: Callable[[int], None],
    ) -> None:
        self._clock = clock
        self._lines = lines
        self._on_full = on_full
        self._on_next = on_next
        self._period_began = clock.monotonic()
        self._written = 0
        self._left_out = 0

    def has_room(self) -> bool:
        """Whether another line may be written. Each call counts as a line."""
        now = self._clock.monotonic()
        if now - self._period_began >= PERIOD:
            if self._left_out:
                self._on_next(self._left_out)
            self._period_began, self._written, self._left_out = now, 0, 0
        self._written += 1
        if self._written <= self._lines:
            return True
        if not self._left_out:
            self._on_full()
        self._left_out += 1
        return False


class BackgroundStream(io.TextIOBase):
    """A text stream that a thread writes out, so that callers never wait for the reader.

    If `limit` characters or more are waiting, further text is dropped. Text that cannot be written
    is dropped too. The dropped lines are counted. Any thread may write.
    """

    def __init__(self, stream: TextIO, limit: int = QUEUE_LIMIT) -> None:
        super().__init__()
        self._stream = stream
        # Not through the stream's buffer: the interpreter aborts at exit if a thread hangs in it.
        self._file = stream.fileno()
        self._limit = limit
        self._waiting: deque[str] = deque()
        self._size = 0
        self._dropped_lines = 0
        self._changed = Condition()
        Thread(target=self._write_all, daemon=True).start()

    def dropped_lines(self) -> int:
        return self._dropped_lines

    def write(self, text: str, /) -> int:
        with self._changed:
            if self._size >= self._limit:
                self._dropped_lines += text.count("\n")
            elif text:
                self._waiting.append(text)
                self._size += len(text)
                self._changed.notify_all()
        return len(text)

    def drain(self, seconds: float | None = None) -> None:
        """Wait until everything is written, for at most `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, seconds)

    def flush(self) -> None:
        """Do nothing: callers that flush after each line must not wait either."""

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        """The underlying file descriptor. Progress bars use it to get the terminal's width."""
        return self._file

    @property
    def encoding(self) -> str:  # type: ignore[override] # read-only is enough
        return self._stream.encoding

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                text = self._waiting[0]
            is_written = self._write_now(text)
            with self._changed:
                self._waiting.popleft()
                self._size -= len(text)
                if not is_written:
                    self._dropped_lines += text.count("\n")
                self._changed.notify_all()

    def _write_now(self, text: str) -> bool:
        """Write the text, however long that takes. False if a part of it could not be written."""
        left = memoryview(text.encode(self.encoding, "backslashreplace"))
        try:
            while left:
                left = left[self._write_some(left) :]
        except OSError:  # the reader has gone or the disk is full; the next line may succeed
            return False
        return True

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._file, data)
        except BlockingIOError:  # another process that shares the file has made it non-blocking
            poll = select.poll()
            poll.register(self._file, select.POLLOUT)
            poll.poll()
            return 0
