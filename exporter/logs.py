"""How events become lines on standard error: logfmt or JSON, one line each.

Who logs calls `structlog.get_logger()` and gives an event's name and its facts as keywords.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from exporter.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

LEVELS = ("debug", "info", "warn", "error")
FORMATS = ("logfmt", "json")

LONGEST_VALUE = 16_384
"""Characters of a value in a line; of a longer one the middle is left out."""


def configure(level: str, log_format: str, stream: TextIO = sys.stderr) -> None:
    """Send every event of `level` and above to `stream`, the libraries' too."""
    shared: list[Callable[..., Any]] = [
        structlog.processors.add_log_level,
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
                _bound_values,
                _renderer(log_format),
                _printable_line,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper().replace("WARN", "WARNING"))
    # One line per request is repetition, not an event.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _bound_values(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    half = LONGEST_VALUE // 2
    for key, value in event.items():
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            event[key] = f"{value[:half]}…{value[-half:]}"
    return event


def _printable_line(_logger: object, _method: str, line: Any) -> str:  # noqa: ANN401 - structlog's
    """The line as text that no value in it, of any kind, can break, hide or reorder.

    In JSON and in quotes the spelling means the character itself, so that a parser gets it back.
    """
    return printable(line)


def _renderer(log_format: str) -> Callable[..., Any]:
    if log_format == "json":
        return structlog.processors.JSONRenderer(sort_keys=False)
    return structlog.processors.LogfmtRenderer(key_order=["ts", "level", "event"])
