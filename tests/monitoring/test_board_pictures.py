"""The pictures of the dashboards that `make pictures` draws: files, sources and documentation.

Nothing is drawn here, because that needs npm and takes a quarter of an hour.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.monitoring.rendered import rendered
from tests.real.boards_drawn import SHOTS
from tests.real.boards_drawn.drawing import HERE, SOURCES, BoardShot

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dashboards.md").read_text()
MODEST = 150_000
"""The largest size of a picture, in bytes."""

each_shot = pytest.mark.parametrize("shot", SHOTS, ids=[each.file for each in SHOTS])


@each_shot
def test_pictures_are_there(shot: BoardShot) -> None:
    """Each picture is a PNG of limited size, and is shown in docs/dashboards.md."""
    picture = (ROOT / "docs" / "pictures" / shot.file).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < MODEST
    assert f"(pictures/{shot.file})" in PAGE


def test_every_board_has_a_picture() -> None:
    """Each dashboard has a picture, and the overview has one in each theme."""
    assert {f"flashback-{each.board}" for each in SHOTS} == {each.uid for each in rendered()}
    assert {each.theme for each in SHOTS if each.board == "overview"} == {"dark", "light"}


def test_sources_are_there_and_pinned() -> None:
    """The source files to bundle exist, and all dependencies have exact versions."""
    assert all((HERE / name).is_file() for name in SOURCES)
    packages = json.loads((HERE / "package.json").read_text())["dependencies"]
    assert packages
    for name, version in packages.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name


def test_every_kind_of_panel_is_drawn() -> None:
    """`board.tsx` draws each type of panel except the heatmap, which is below the picture."""
    source = (HERE / "board.tsx").read_text()
    kinds = {panel["type"] for board in rendered() for panel in board.panels()} - {"heatmap"}
    (table,) = re.findall(r"const KINDS.*?= \{(.*?)\};", source, re.DOTALL)
    assert set(re.findall(r"'?([\w-]+)'?: \w+", table)) == kinds
