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
HEADING = "## Where this was measured"


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


def renewed(document: str, rows: Iterable[Row], machine: Mapping[str, str]) -> str:
    """The document with another table and another machine; its words stay."""
    properties = "".join(f"- {name}: {value}\n" for name, value in machine.items())
    document = re.sub(
        r"(?:^\|.*\n)+", lambda _: rows_to_markdown(rows), document, flags=re.MULTILINE
    )
    return document.partition(HEADING)[0] + f"{HEADING}\n\n{properties}"


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
