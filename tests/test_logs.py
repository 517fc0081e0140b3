"""The format of log lines."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
from collections.abc import Iterator
from typing import TextIO

import pytest
import structlog

from exporter.logs import LONGEST_VALUE, BackgroundStream, configure


def lines(level: str, log_format: str) -> list[str]:
    """The lines for an event of each level, from the exporter and from a library."""
    stream = io.StringIO()
    configure(level, log_format, stream)
    log = structlog.get_logger()
    log.debug("quiet")
    log.info("started", name='a "b"\nc', count=3)
    logging.getLogger("some.library").warning("careful: %s", "hot")
    logging.getLogger("httpx").info("HTTP Request: GET …")
    return stream.getvalue().splitlines()


def test_logfmt_is_one_line_per_event() -> None:
    """In logfmt each event is one line of key=value pairs, whatever the values contain."""
    first, second = lines("info", "logfmt")
    assert first.startswith("ts=20")
    assert first.endswith('Z level=info event=started name="a \\"b\\"\\nc" count=3')
    assert 'level=warn event="careful: hot"' in second


def test_json_is_one_object_per_event() -> None:
    """In JSON each event is one object on its own line."""
    first, second = (json.loads(line) for line in lines("info", "json"))
    assert first["event"] == "started"
    assert first["name"] == 'a "b"\nc'
    assert second["level"] == "warn"


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("warn", 1), ("error", 0)])
def test_level_is_the_least_severe_that_is_logged(level: str, count: int) -> None:
    """Events below the level are not logged, nor are a library's messages per request."""
    assert len(lines(level, "logfmt")) == count


def test_errors_carry_their_traceback_on_the_same_line() -> None:
    """A logged exception has its traceback on the same line."""
    stream = io.StringIO()
    configure("info", "logfmt", stream)
    try:
        int("boom")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in line


ODD = {
    "NUL": "\0",
    "ESC": "\x1b[2J",
    "CR": "\r",
    "LF": "\n",
    "TAB": "\t",
    "DEL": "\x7f",
    "NEL": "\x85",
    "CSI": "\x9b31m",
    "line separators": "\u2028\u2029",
    "marks of direction": "\u200e\u200f\u061c",
    "embeddings and overrides": "\u202a\u202b\u202c\u202d\u202e",
    "isolates": "\u2066\u2067\u2068\u2069",
    "lone surrogates": "\ud800 \udfff",
    "tags": "\U000e0041",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_no_character_breaks_or_turns_a_line(log_format: str, odd: str) -> None:
    """Control and direction characters in values are escaped: each event is one printable line."""
    stream = io.StringIO()
    configure("info", log_format, stream)
    text = f"a{odd}b"
    structlog.get_logger().info("found", bare=text, quoted=f"{text} =", listed=[text])
    logging.getLogger("some.library").warning("careful: %s", text)
    ours, foreign = stream.getvalue().removesuffix("\n").split("\n")
    for line in (ours, foreign):
        assert line.isprintable()
        assert line.encode()
    if log_format == "json":
        assert json.loads(ours)["bare"] == text
        assert json.loads(foreign)["event"] == f"careful: {text}"


def test_logfmt_spells_out_what_cannot_be_seen() -> None:
    """Invisible characters are escaped as their code points."""
    stream = io.StringIO()
    configure("info", "logfmt", stream)
    structlog.get_logger().info("found", name="a\u202eb\x1b", tag="\U000e0041")
    assert stream.getvalue().endswith(" event=found name=a\\u202eb\\u001b tag=\\U000e0041\n")


def test_very_long_value_loses_its_middle() -> None:
    """A very long value is shortened in the middle, so the end of a traceback is kept."""
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger().info("found", name="begin" + "x" * 2 * LONGEST_VALUE + "end")
    name = json.loads(stream.getvalue())["name"]
    assert len(name) == LONGEST_VALUE + 1
    assert name.startswith("begin")
    assert name.endswith("end")


class Pipe:
    """A small pipe whose write end is a stream."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.room = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        self.stream: TextIO = os.fdopen(writer, "w", encoding="utf-8")

    def read(self, length: int) -> str:
        """Read this many bytes, waiting for them."""
        found = b""
        while len(found) < length:
            found += os.read(self.reader, length - len(found))
        return found.decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe that only the test reads from."""
    made = Pipe()
    yield made
    # The write end stays open, as a thread may be writing to it.
    os.close(made.reader)


def test_lines_arrive_in_order(pipe: Pipe) -> None:
    """Lines are written in order, and drain waits until all are written."""
    stream = BackgroundStream(pipe.stream)
    for number in range(100):
        print(number, file=stream)
    stream.drain()
    text = "".join(f"{number}\n" for number in range(100))
    assert pipe.read(len(text)) == text
    assert stream.dropped_lines() == 0


@pytest.mark.parametrize("blocking", [True, False])
def test_what_nobody_takes_is_dropped_and_counted(pipe: Pipe, *, blocking: bool) -> None:
    """If the reader is slow, lines beyond the limit are dropped and counted; writes never block."""
    os.set_blocking(pipe.stream.fileno(), blocking)
    line = "x" * 99 + "\n"
    stream = BackgroundStream(pipe.stream, limit=2 * pipe.room)
    written = 0
    while stream.dropped_lines() < 5:
        stream.write(line)
        written += 1
    stream.drain(0)
    taken = written - stream.dropped_lines()
    assert pipe.read(taken * len(line)) == line * taken
    stream.drain()
    stream.write("and on\n")
    assert pipe.read(7) == "and on\n"
    assert stream.dropped_lines() == 5


def test_lines_count_as_dropped_where_the_reader_has_gone() -> None:
    """If the reader has closed the pipe, lines are counted as dropped and the thread goes on."""
    pipe = Pipe()
    os.close(pipe.reader)
    stream = BackgroundStream(pipe.stream)
    for number in range(1, 4):
        stream.write("lost\n")
        stream.drain()
        assert stream.dropped_lines() == number


def test_one_text_may_exceed_the_limit(pipe: Pipe) -> None:
    """A single text longer than the limit is written completely."""
    stream = BackgroundStream(pipe.stream, limit=10)
    stream.write("x" * 10_000)
    assert pipe.read(10_000) == "x" * 10_000


def test_what_an_encoding_lacks_is_spelt_out() -> None:
    """Characters that the stream's encoding lacks are escaped."""
    reader, writer = os.pipe()
    stream = BackgroundStream(os.fdopen(writer, "w", encoding="ascii"))
    stream.write("\u00e9\ud800\n")
    stream.drain()
    assert os.read(reader, 100) == b"\\xe9\\ud800\n"
    os.close(reader)
