"""Lines of values and of syntax errors."""

from __future__ import annotations

import pytest

from exporter.config.problems import ConfigError, Report
from exporter.config.yaml_tree import Tree, read

TEXT = """\
one:
  - a
  -
    two: b
three: &three
  four: c
five: {<<: *three}
"""


def tree(text: str) -> Tree:
    """The tree of a valid YAML text."""
    report = Report("x")
    found = read(text, {}, report)
    report.raise_if_any()
    return found


@pytest.mark.parametrize(
    ("place", "found", "line"),
    [
        ((), (), 1),
        (("one",), ("one",), 1),
        (("one", 0), ("one", 0), 2),
        (("one", 0, "id"), ("one", 0), 2),
        (("one", 1), ("one", 1), 4),
        (("one", 1, "two"), ("one", 1, "two"), 4),
        (("one", 1, "gone"), ("one", 1), 4),
        (("three", "four"), ("three", "four"), 6),
        (("five", "four"), ("five", "four"), 6),
        (("gone", 0, "x"), (), 1),
    ],
)
def test_place_has_the_line_of_its_key(
    place: tuple[str | int, ...], found: tuple[str | int, ...], line: int
) -> None:
    """A missing value has the line of its parent, a merged one the line where it is written."""
    where, node = tree(TEXT).nearest(place)
    assert (where, node.line) == (found, line)


def test_repr_holds_no_value() -> None:
    """The repr of a tree contains no values."""
    assert "hunter2" not in repr(tree("password: hunter2"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b\n# é\nc: '", 3),
        ("a: b\nc: \x00", 2),
        ("a: [b\n\n\n", 4),
        ("a: |\n\tb", 2),
        ("a: 1\n...\n---\n", 3),
    ],
)
def test_syntax_error_has_a_line(text: str, line: int) -> None:
    """A syntax error has its line."""
    with pytest.raises(ConfigError) as caught:
        tree(text)
    assert [problem.line for problem in caught.value.problems] == [line]


def test_only_children_of_lists_are_listed() -> None:
    """Only lists have children."""
    found = tree(TEXT)
    assert [place for place, _ in found.children(("one",))] == [("one", 0), ("one", 1)]
    assert found.children(("three",)) == found.children(("gone",)) == []
