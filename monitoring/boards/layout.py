"""Dashboards: their definition, and the positions and ids of panels.

Panels are placed from left to right in lines of 24 columns; a line is as high as its panels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

from monitoring.boards import links, marks
from monitoring.boards.sdk import dashboard

COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Defaults:
    """Settings that the dashboards share with the rules."""

    down: str  # statuses, as a regular expression
    target: float  # the target uptime ratio of a node
    job: str  # the matcher of the exporters' targets
    runbook: str  # URL


@dataclass(frozen=True, slots=True)
class Line:
    """Panels side by side, of one height, as wide as their shares of the line."""

    height: int
    panels: tuple[dashboard.Panel, ...]
    shares: tuple[int, ...] = ()  # empty: equal widths

    def widths(self) -> list[int]:
        """The width of each panel in columns; their sum is COLUMNS."""
        shares = self.shares or (1,) * len(self.panels)
        ends = [COLUMNS * each // sum(shares) for each in accumulate(shares, initial=0)]
        return [end - start for start, end in pairwise(ends)]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the lines under it; Grafana runs no queries for a collapsed one."""

    title: str
    lines: tuple[Line, ...]
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """The definition of a dashboard; `model` makes Grafana's model of it."""

    name: str
    title: str
    description: str
    variables: tuple[dashboard.VariableModel, ...]
    sections: tuple[Section, ...]
    since: str = "now-24h"
    refresh: str = "1m"

    def model(self, runbook: str) -> dashboard.Dashboard:
        """Grafana's model, with the position of every panel; `runbook` is a URL."""
        return dashboard.Dashboard(
            uid=f"flashback-{self.name}",
            title=self.title,
            description=self.description,
            tags=[links.TAG],
            timezone="utc",
            week_start="monday",
            editable=False,
            graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
            time=dashboard.DashboardDashboardTime(from_val=self.since, to="now"),
            refresh=self.refresh,
            links=links.top(runbook),
            templating=dashboard.DashboardDashboardTemplating(list_val=list(self.variables)),
            annotations=dashboard.AnnotationContainer(list_val=marks.annotation_queries()),
            panels=_placed(self.sections, runbook),
        )


def line(height: int, *panels: dashboard.Panel, shares: tuple[int, ...] = ()) -> Line:
    """Panels side by side."""
    return Line(height, panels, shares)


def _placed(
    sections: tuple[Section, ...], runbook: str
) -> list[dashboard.Panel | dashboard.RowPanel]:
    placed: list[dashboard.Panel | dashboard.RowPanel] = []
    count = y = 0
    for section in sections:
        count += 1
        heading = dashboard.RowPanel(
            title=section.title,
            grid_pos=dashboard.GridPos(h=1, w=COLUMNS, x=0, y=y),
            id_val=count,
            collapsed=section.collapsed,
        )
        panels = _in_place(section, y + 1, count, runbook)
        count += len(panels)
        y += 1
        if section.collapsed:
            heading.panels = panels
            placed.append(heading)
        else:
            placed += [heading, *panels]
            y += sum(each.height for each in section.lines)
    return placed


def _in_place(section: Section, y: int, count: int, runbook: str) -> list[dashboard.Panel]:
    panels: list[dashboard.Panel] = []
    for each in section.lines:
        x = 0
        for panel, width in zip(each.panels, each.widths(), strict=True):
            panel.grid_pos = dashboard.GridPos(h=each.height, w=width, x=x, y=y)
            count += 1
            panel.id_val = count
            for link in panel.links or []:
                link.url = f"{runbook}{link.url}"
            panels.append(panel)
            x += width
        y += each.height
    return panels
