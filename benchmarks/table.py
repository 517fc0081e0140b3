"""What a benchmark hands over, and how it is shown: rows of one Markdown table.

The table is padded, so that it reads the same on a terminal and in a document.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

COLUMNS = ("benchmark", "what", "here", "beside it", "its figure", "ratio", "aim")
NOTHING = "-"
FRACTION = 0.1
"""A ratio below this is shown as one part of so many."""


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
    beside: str
    base: Quantity | None
    aim: str = ""

    @property
    def ratio(self) -> str:
        """Ours by the other."""
        if self.base is None or not self.base.value or not self.here.value:
            return NOTHING
        ratio = self.here.value / self.base.value
        return f"1/{_short(1 / ratio)}" if ratio < FRACTION else f"{_short(ratio)} x"

    def cells(self) -> tuple[str, ...]:
        """As shown, in the order of COLUMNS."""
        base = NOTHING if self.base is None else str(self.base)
        return (self.benchmark, self.what, str(self.here), self.beside, base, self.ratio, self.aim)


def milliseconds(seconds: float) -> Quantity:
    """CPU time as it is shown."""
    return Quantity(seconds * 1e3, "ms")


def megabytes(size: float) -> Quantity:
    """Memory as it is shown."""
    return Quantity(size / 1e6, "MB")


def rows_to_markdown(rows: Iterable[Row]) -> str:
    """The table, with a line feed at its end."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "|".join(["", *("-" * (width + 2) for width in widths), ""])
    head, *body = (_line(cells, widths) for cells in lines)
    return "\n".join([head, rule, *body, ""])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _short(value: float) -> str:
    """Three significant digits."""
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if whole:
        return f"{value:,.{max(0, 3 - whole)}f}"
    return f"{value:.3g}"
