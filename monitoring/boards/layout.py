"""A board: what is on it, and how its panels get their places and ids.

Panels stand in rows of 24 columns, from left to right; a row is as high as its panels.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitoring.boards import links
from monitoring.boards.sdk import dashboard

COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Defaults:
    """What boards share with the rules; the first two can be changed above a board."""

    down: str  # statuses, as a regular expression
    target: str
    runbook: str  # URL


@dataclass(frozen=True, slots=True)
class Line:
    """Panels side by side, of one height, as wide as their shares of the line."""

    height: int
    panels: tuple[dashboard.Panel, ...]

    def widths(self) -> list[int]:
        """The columns of each panel; together all of them."""
        count = len(self.panels)
        return [COLUMNS * (place + 1) // count - COLUMNS * place // count for place in range(count)]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the lines under it."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard as it is written down; `model` is what Grafana gets."""

    name: str
    title: str
    description: str
    variables: tuple[dashboard.VariableModel, ...]
    sections: tuple[Section, ...]
    since: str = "now-24h"
    refresh: str = "1m"

    def model(self, runbook: str) -> dashboard.Dashboard:
        """The dashboard, with every panel in its place; it leads to a runbook (URL)."""
        return dashboard.Dashboard(
            uid=f"flashback-{self.name}",
            title=self.title,
            description=self.description,
            tags=[links.TAG],
            timezone="utc",
            week_start="monday",
            editable=True,
            graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
            time=dashboard.DashboardDashboardTime(from_val=self.since, to="now"),
            refresh=self.refresh,
            links=links.top(runbook),
            templating=dashboard.DashboardDashboardTemplating(list_val=list(self.variables)),
            annotations=dashboard.AnnotationContainer(list_val=[]),
            panels=_placed(self.sections, runbook),
        )


def line(height: int, *panels: dashboard.Panel) -> Line:
    """Panels side by side."""
    return Line(height, panels)


def _placed(
    sections: tuple[Section, ...], runbook: str
) -> list[dashboard.Panel | dashboard.RowPanel]:
    ranked: list[dashboard.Panel | dashboard.RowPanel] = []
    y = 0
    for section in sections:
        heading = dashboard.GridPos(h=1, w=COLUMNS, x=0, y=y)
        ranked.append(
            dashboard.RowPanel(title=section.title, grid_pos=heading, id_val=len(ranked) + 1)
        )
        y += 1
        for each in section.lines:
            x = 0
            for panel, width in zip(each.panels, each.widths(), strict=True):
                panel.grid_pos = dashboard.GridPos(h=each.height, w=width, x=x, y=y)
                panel.id_val = len(ranked) + 1
                for link in panel.links or []:
                    link.url = f"{runbook}{link.url}"
                ranked.append(panel)
                x += width
            y += each.height
    return ranked
