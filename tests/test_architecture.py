"""The rooms of docs/architecture.md are those of the code, and so is what each imports."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import grimp
import pytest

FRONT_DOORS = {"exporter", "exporter.__main__", "exporter.upstream"}
"""Modules with nothing of their own."""

PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()


@cache
def documented() -> dict[str, set[str]]:
    """Each room as a module's name, and the rooms that its row says it imports."""
    table = re.search(r"\| room \|.*\n\|.*\n((\|.*\n)+)", PAGE)
    assert table is not None
    rooms: dict[str, set[str]] = {}
    for line in table[1].splitlines():
        first, _, last = (re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split("|"))
        for name in first:
            rooms[module(name)] = {module(imported) for imported in last}
    return rooms


def module(name: str) -> str:
    """The module that the page calls `upstream/pace.py`, `config/` or `upstream.pace`."""
    return "exporter." + name.removesuffix(".py").strip("/").replace("/", ".")


@cache
def imported() -> dict[str, set[str]]:
    """Each room, and the rooms that its modules import, their types included."""
    graph = grimp.build_graph("exporter", cache_dir=None)
    rooms: dict[str, set[str]] = {room: set() for room in documented()}
    for each in graph.modules - FRONT_DOORS:
        rooms[room_of(each)] |= {
            room_of(other)
            for other in graph.find_modules_directly_imported_by(each)
            if other not in FRONT_DOORS and room_of(other) != room_of(each)
        }
    return rooms


def room_of(name: str) -> str:
    """The room that a module belongs to: the longest of the page's that it lies in."""
    rooms = [each for each in documented() if f"{name}.".startswith(f"{each}.")]
    return max(rooms, key=len, default=name)


def test_every_module_belongs_to_a_room() -> None:
    """No module is missing from the page, and no room of it is missing from the code."""
    modules = grimp.build_graph("exporter", cache_dir=None).modules
    assert {room_of(each) for each in modules - FRONT_DOORS} == documented().keys()


@pytest.mark.parametrize("room", documented())
def test_room_imports_what_the_page_says(room: str) -> None:
    """The last column is what the room's modules import of the others, no more and no less."""
    assert imported()[room] == documented()[room]
