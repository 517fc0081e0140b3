"""What a board's panels ask, and what Prometheus answers, as one document to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.monitoring.rendered import Rendered, filled
from tests.real.boards_drawn.week import DAY, END, STEP
from tests.real.databases import Database

SECONDS = {"h": 3600.0, "d": DAY}
POINTS = 400
"""Of a graph, about as many as Grafana asks for."""

CHOSEN = {
    "bucket": "models",
    "host": "*-us-east-1-gcp.flashback.tech",
    "__rate_interval": f"{4 * STEP:.0f}s",
}
"""What is chosen where a board shows one bucket or one host."""


@dataclass(frozen=True, slots=True)
class Range:
    """The time that a panel shows."""

    start: float
    end: float

    @classmethod
    def since(cls, text: str) -> Range:
        """From `now-24h` and the like until the end of the week."""
        span = text.removeprefix("now-")
        return cls(END - int(span[:-1]) * SECONDS[span[-1]], END)


async def answered(board: Rendered, database: Database) -> dict[str, Any]:
    """The board, and for each of its panels that are open at first the answers to its queries."""
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
    """The moments that an annotation marks: its values, where they lie in the range."""
    times = {"start": shown.start, "end": shown.end, "step": 3600.0}
    data = await database.get("query_range", query=filled(mark["expr"], values), **times)
    found = {float(text) for each in data["result"] for _, text in each["values"]}
    return {
        "name": mark["name"],
        "color": mark["iconColor"],
        "at": sorted(each for each in found if shown.start <= each / 1000 <= shown.end),
    }
