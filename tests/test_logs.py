"""How events become lines."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from exporter.logs import configure


def lines(level: str, log_format: str) -> list[str]:
    """What an event of each level becomes, ours and a library's."""
    stream = io.StringIO()
    configure(level, log_format, stream)
    log = structlog.get_logger()
    log.debug("quiet")
    log.info("started", name='a "b"\nc', count=3)
    logging.getLogger("some.library").warning("careful: %s", "hot")
    logging.getLogger("httpx").info("HTTP Request: GET …")
    return stream.getvalue().splitlines()


def test_logfmt_is_one_line_per_event() -> None:
    """Each event is key=value pairs on a line of its own, whatever is in the values."""
    first, second = lines("info", "logfmt")
    assert first.startswith("ts=20")
    assert first.endswith('Z level=info event=started name="a \\"b\\"\\nc" count=3')
    assert 'level=warning event="careful: hot"' in second


def test_json_is_one_object_per_event() -> None:
    """Each event is a JSON object on a line of its own."""
    first, second = (json.loads(line) for line in lines("info", "json"))
    assert first["event"] == "started"
    assert first["name"] == 'a "b"\nc'
    assert second["level"] == "warning"


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("warn", 1), ("error", 0)])
def test_level_is_the_least_severe_that_is_logged(level: str, count: int) -> None:
    """What is below the level is not written; a library's chatter per request never is."""
    assert len(lines(level, "logfmt")) == count


def test_errors_carry_their_traceback_on_the_same_line() -> None:
    """An exception that is logged does not break the line."""
    stream = io.StringIO()
    configure("info", "logfmt", stream)
    try:
        int("boom")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in line
