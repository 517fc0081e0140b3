"""Reads the committed dashboards: their panels, expressions and variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "monitoring" / "dashboards"

BUILT_IN = {"__rate_interval": "30s", "__range": f"{28 * 86400}s"}
"""Grafana's own variables that the dashboards use, with possible values."""

_VARIABLE = r"\$(?:(\w+)|\{(\w+)\})"


class Expression(NamedTuple):
    """One expression of a panel or annotation."""

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
        """The UID, which links from other dashboards use."""
        uid: str = self.document["uid"]
        return uid

    def shown(self) -> list[dict[str, Any]]:
        """The headings, and the panels that are not under a collapsed heading."""
        panels: list[dict[str, Any]] = self.document["panels"]
        return panels

    def everything(self) -> list[dict[str, Any]]:
        """All headings and panels, including those under collapsed headings."""
        return [each for panel in self.shown() for each in (panel, *panel.get("panels", []))]

    def panels(self) -> list[dict[str, Any]]:
        """The panels, without headings."""
        return [each for each in self.everything() if each["type"] != "row"]

    def annotations(self) -> list[dict[str, Any]]:
        """The annotations."""
        found: list[dict[str, Any]] = self.document["annotations"]["list"]
        return found

    def expressions(self) -> Iterator[Expression]:
        """Each expression of each panel and annotation, as it is written."""
        for panel in self.panels():
            daily = panel.get("interval") == "1d"
            for target in panel["targets"]:
                yield Expression(self.uid, panel["title"], target["expr"], target["instant"], daily)
        for mark in self.annotations():
            yield Expression(self.uid, mark["name"], mark["expr"], instant=False, daily=False)

    def variables(self) -> dict[str, dict[str, Any]]:
        """The variables by name."""
        return {each["name"]: each for each in self.document["templating"]["list"]}

    def all_values(self) -> dict[str, str]:
        """The value of `All`, by the variables that have this option."""
        found = self.variables().items()
        return {name: each["allValue"] for name, each in found if each.get("includeAll")}

    def first_values(self) -> dict[str, str]:
        """The initial values of the variables that do not query Prometheus."""
        found = self.variables().items()
        kinds = {"custom", "textbox"}
        return {name: each["current"]["value"] for name, each in found if each["type"] in kinds}


def rendered() -> list[Rendered]:
    """Every committed dashboard."""
    return [Rendered(json.loads(file.read_text())) for file in sorted(FOLDER.glob("*.json"))]


def names(text: str) -> set[str]:
    """The variables in a text."""
    return {found[1] or found[2] for found in re.finditer(_VARIABLE, text)}


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its variables replaced by their values; raises KeyError for an unknown one."""
    known = {**BUILT_IN, **values}
    return re.sub(_VARIABLE, lambda found: known[found[1] or found[2]], text)
