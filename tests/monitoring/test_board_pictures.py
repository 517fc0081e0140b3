"""The pictures of the boards that `make pictures` takes: what it names is there.

Nothing is drawn here: that needs npm, and a quarter of an hour.
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
"""Bytes."""

each_shot = pytest.mark.parametrize("shot", SHOTS, ids=[each.file for each in SHOTS])


@each_shot
def test_pictures_are_there(shot: BoardShot) -> None:
    """Each picture is a PNG of modest size, and stands in the documentation."""
    picture = (ROOT / "docs" / "pictures" / shot.file).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < MODEST
    assert f"(pictures/{shot.file})" in PAGE


def test_every_board_has_a_picture() -> None:
    """None is left out, and one is seen by night and by day."""
    assert {f"flashback-{each.board}" for each in SHOTS} == {each.uid for each in rendered()}
    assert {each.theme for each in SHOTS if each.board == "overview"} == {"dark", "light"}


def test_sources_are_there_and_pinned() -> None:
    """What is copied to be bundled exists, and asks for exact versions."""
    assert all((HERE / name).is_file() for name in SOURCES)
    packages = json.loads((HERE / "package.json").read_text())["dependencies"]
    assert packages
    for name, version in packages.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name


def test_every_kind_of_panel_is_drawn() -> None:
    """The drawing knows each kind of panel but the histogram, which stands below the picture."""
    source = (HERE / "board.tsx").read_text()
    kinds = {panel["type"] for board in rendered() for panel in board.panels()} - {"heatmap"}
    (table,) = re.findall(r"const KINDS.*?= \{(.*?)\};", source, re.DOTALL)
    assert set(re.findall(r"'?([\w-]+)'?: \w+", table)) == kinds
