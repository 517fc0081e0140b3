"""What a benchmark finds, and how it is shown: one Markdown table, and `docs/performance.md`."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

COLUMNS = ("benchmark", "what", "here", "beside it", "its figure", "ratio", "aim")
NOTHING = "-"
FRACTION = 0.1
"""A ratio below this is shown as one part of so many."""

LIBRARIES = ("aiohttp", "httpx", "isal", "orjson", "prometheus-client")
PATH = Path(__file__).parents[1] / "docs" / "performance.md"

DOCUMENT = """\
# Performance

Written by `python -m benchmarks --write`; do not edit. `make bench` prints the same table for your
machine.

What counts is the **ratio**: both sides ran beside each other, in processes of their own, on the
same machine. Times are CPU time and mean little elsewhere; those of a poll and a scrape are the
median of rounds that alternate. `here` is the exporter; the aim is an aim, not a limit that a test
enforces.

{table}
- **poll**: `Client.poll` over loopback with the exporter's counters, its checks, parsing and
  rendering. The clients beside it make the same POST and decode the JSON, no more.
- **scrape**: all bytes of the page at a moment. The client library shows the same samples from a
  custom collector. Gzip is level 1 here (isal's where it is installed); the library's own server
  uses level 9.
- **10,000 buckets**: the command `run`, each bucket polled once a minute against a fast API that is
  made up, two scrapes with gzip every fifteen seconds, beside the same with fewer buckets, at the
  same time. A hold is the CPU time of one turn of the event loop: neither what other processes take
  is counted, nor the waiting for a thread that prepares a reload; the first byte of a scrape has
  both in it. Previous days, which are asked for once a day, have been asked for before.
- **discovery**: the same command starts without a bucket and finds all in one listing, or in one of
  each account. Times are from the start of the process; the CPU includes two scrapes a second.
- **reload**: it reads a file that gives each bucket another name, while one scrape follows the
  other.
- **ten buckets**: from the start of the process until each bucket has been polled; then a minute
  with a scrape every fifteen seconds.

## Where this was measured

{machine}
"""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit."""

    value: float
    unit: str

    def __str__(self) -> str:
        """Three significant digits, no exponent."""
        return f"{_short(self.value)} {self.unit}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of ours and the one beside it; None beside it where there is nothing to run."""

    benchmark: str
    what: str
    here: Quantity
    beside: str = ""
    base: Quantity | None = None
    aim: str = ""

    @property
    def ratio(self) -> str:
        if self.base is None or not self.base.value or not self.here.value:
            return NOTHING
        ratio = self.here.value / self.base.value
        return f"1/{_short(1 / ratio)}" if ratio < FRACTION else f"{_short(ratio)} x"

    def cells(self) -> tuple[str, ...]:
        """As shown, in the order of COLUMNS."""
        base = NOTHING if self.base is None else str(self.base)
        beside = self.beside or NOTHING
        return (self.benchmark, self.what, str(self.here), beside, base, self.ratio, self.aim)


def milliseconds(seconds: float) -> Quantity:
    return Quantity(seconds * 1e3, "ms")


def megabytes(size: float) -> Quantity:
    return Quantity(size / 1e6, "MB")


def rows_to_markdown(rows: Iterable[Row]) -> str:
    """The table, padded so that it reads the same on a terminal and in a document."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "|".join(["", *("-" * (width + 2) for width in widths), ""])
    head, *body = (_line(cells, widths) for cells in lines)
    return "\n".join([head, rule, *body, ""])


def performance(rows: Iterable[Row], machine: Mapping[str, str]) -> str:
    """The document's text."""
    properties = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    return DOCUMENT.format(table=rows_to_markdown(rows), machine=properties)


def machine(today: date) -> dict[str, str]:
    """Where the figures come from: never a path or the name of a machine."""
    return {
        "date": today.isoformat(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()}, {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": ", ".join(map(_version, LIBRARIES)),
    }


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _short(value: float) -> str:
    """Three significant digits."""
    if abs(value) < 1:
        return f"{value:.3g}"
    return f"{value:,.{max(0, 3 - len(str(int(abs(value)))))}f}"


def _version(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return f"no {library}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text("utf-8") if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()
