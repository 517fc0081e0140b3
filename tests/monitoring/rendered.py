"""The committed dashboards as tests read them: boards, panels, expressions, variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "monitoring" / "dashboards"

BUILT_IN = {"__rate_interval": "30s", "__range": f"{28 * 86400}s"}
"""Grafana's own variables that the boards use, as it might fill them in."""


class Expression(NamedTuple):
    """One expression of a panel."""

    board: str
    panel: str
    text: str
    instant: bool
    daily: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """A dashboard, from its file."""

    document: dict[str, Any]

    @property
    def uid(self) -> str:
        """What other boards call it."""
        uid: str = self.document["uid"]
        return uid

    def everything(self) -> list[dict[str, Any]]:
        """All that has a place on the grid: panels and headings."""
        panels: list[dict[str, Any]] = self.document["panels"]
        return panels

    def panels(self) -> list[dict[str, Any]]:
        """The panels, without headings."""
        return [each for each in self.everything() if each["type"] != "row"]

    def expressions(self) -> Iterator[Expression]:
        """Each expression of each panel, as it is written."""
        for panel in self.panels():
            daily = panel.get("interval") == "1d"
            for target in panel["targets"]:
                yield Expression(self.uid, panel["title"], target["expr"], target["instant"], daily)

    def variables(self) -> dict[str, dict[str, Any]]:
        """The variables by name."""
        return {each["name"]: each for each in self.document["templating"]["list"]}

    def all_values(self) -> dict[str, str]:
        """What stands for everything, by the variables that offer it."""
        found = self.variables().items()
        return {name: each["allValue"] for name, each in found if each.get("includeAll")}

    def first_values(self) -> dict[str, str]:
        """What those variables are at first that do not ask Prometheus."""
        found = self.variables().items()
        kinds = {"custom", "textbox"}
        return {name: each["current"]["value"] for name, each in found if each["type"] in kinds}


def rendered() -> list[Rendered]:
    """Every committed dashboard."""
    return [Rendered(json.loads(file.read_text())) for file in sorted(FOLDER.glob("*.json"))]


def names(text: str) -> set[str]:
    """The variables in a text."""
    return set(re.findall(r"\$(\w+)", text))


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its variables filled in; an unknown one is an error."""
    return re.sub(r"\$(\w+)", lambda found: {**BUILT_IN, **values}[found[1]], text)
