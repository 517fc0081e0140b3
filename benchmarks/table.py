"""Results of benchmarks as one Markdown table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

COLUMNS = ("benchmark", "measurement", "exporter", "baseline", "baseline figure", "ratio", "target")
NOTHING = "-"
UNITS = {"ms": 1e3, "MB": 1e-6, "% of a core": 100}
"""Factors from seconds, bytes and shares to the units shown."""

FRACTION = 0.1
"""Ratios below this are shown as 1/n."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of the exporter and of its baseline, if any."""

    benchmark: str
    what: str
    unit: str  # for display: figures are seconds, bytes and shares
    exporter: float
    baseline: str = NOTHING
    baseline_figure: float | None = None
    target: str = ""

    @property
    def ratio(self) -> str:
        if not self.baseline_figure or not self.exporter:
            return NOTHING
        ratio = self.exporter / self.baseline_figure
        return f"1/{_short(1 / ratio)}" if ratio < FRACTION else f"{_short(ratio)} x"

    def cells(self) -> tuple[str, ...]:
        """The texts in the order of COLUMNS."""
        figures = self._shown(self.exporter), self.baseline, self._shown(self.baseline_figure)
        return (self.benchmark, self.what, *figures, self.ratio, self.target)

    def _shown(self, figure: float | None) -> str:
        return NOTHING if figure is None else f"{_short(figure * UNITS[self.unit])} {self.unit}"


def rows_to_markdown(rows: Iterable[Row]) -> str:
    """The table, padded for terminals."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "|".join(["", *("-" * (width + 2) for width in widths), ""])
    head, *body = (f"| {' | '.join(map(str.ljust, cells, widths))} |" for cells in lines)
    return "\n".join([head, rule, *body, ""])


def _short(value: float) -> str:
    """Three significant digits."""
    if abs(value) < 1:
        return f"{value:.3g}"
    return f"{value:,.{max(0, 3 - len(str(int(abs(value)))))}f}"
