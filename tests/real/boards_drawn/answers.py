"""Runs the queries of a dashboard's panels, and returns the results as one document to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.monitoring.rendered import Rendered, filled
from tests.real.boards_drawn.week import DAY, END, STEP
from tests.real.databases import Database

SECONDS = {"h": 3600.0, "d": DAY}
POINTS = 400
"""Points of a graph: about as many as Grafana requests."""

CHOSEN = {
    "bucket": "models",
    "host": "*-us-east-1-gcp.flashback.tech",
    "__rate_interval": f"{4 * STEP:.0f}s",
}
"""The values of variables that choose one bucket or one host."""


@dataclass(frozen=True, slots=True)
class Range:
    """The time range of a panel."""

    start: float
    end: float

    @classmethod
    def since(cls, text: str) -> Range:
        """From `now-24h` or similar to the end of the week."""
        span = text.removeprefix("now-")
        return cls(END - int(span[:-1]) * SECONDS[span[-1]], END)


async def answered(board: Rendered, database: Database) -> dict[str, Any]:
    """The dashboard, with the query results of the panels that are not collapsed."""
    shown = Range.since(board.document["time"]["from"])
    values = {
        **CHOSEN,
        **board.all_values(),
        **board.first_values(),
        "__range": f"{shown.end - shown.start:.0f}s",
    }
    panels = [
        {
            "panel": panel,
            "answers": [
                await _asked(panel, each, values, shown, database)
                for each in panel.get("targets", [])
            ],
        }
        for panel in board.shown()
    ]
    return {
        "title": board.document["title"],
        "from": shown.start * 1000,
        "to": shown.end * 1000,
        "panels": panels,
        "marks": [await _marks(each, values, shown, database) for each in board.annotations()],
    }


async def _asked(
    panel: dict[str, Any],
    target: dict[str, Any],
    values: dict[str, str],
    shown: Range,
    database: Database,
) -> dict[str, Any]:
    query = filled(target["expr"], values)
    if target["instant"]:
        data = await database.get("query", query=query, time=shown.end)
    else:
        daily = panel.get("interval") == "1d"
        step = DAY if daily else max(STEP, (shown.end - shown.start) / POINTS)
        times = {"start": shown.start // step * step, "end": shown.end // step * step}
        data = await database.get("query_range", query=query, **times, step=step)
    return {"target": target, "result": data["result"]}


async def _marks(
    mark: dict[str, Any], values: dict[str, str], shown: Range, database: Database
) -> dict[str, Any]:
    """The times of an annotation: its values that are within the range."""
    times = {"start": shown.start, "end": shown.end, "step": 3600.0}
    data = await database.get("query_range", query=filled(mark["expr"], values), **times)
    found = {float(text) for each in data["result"] for _, text in each["values"]}
    return {
        "name": mark["name"],
        "color": mark["iconColor"],
        "at": sorted(each for each in found if shown.start <= each / 1000 <= shown.end),
    }
