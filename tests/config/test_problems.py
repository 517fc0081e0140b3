"""The text of configuration problems."""

from __future__ import annotations

import pytest

from exporter.config import ConfigError, Problem
from exporter.config.problems import Report, key_text, path_text, quoted


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem("c.yaml", 12, "accounts[0].name", "fix it"),
            "c.yaml:12: accounts[0].name: fix it",
        ),
        (Problem("c.yaml", 12, "", "fix it"), "c.yaml:12: fix it"),
        (Problem("c.yaml", None, "", "fix it"), "c.yaml: fix it"),
    ],
)
def test_text_of_a_problem_is_one_line(problem: Problem, text: str) -> None:
    """A problem shows file, line, path and message, as far as known."""
    assert str(problem) == text


def test_path_is_written_as_people_do() -> None:
    """A path has dots between keys, indices in brackets, and unusual keys in quotes."""
    place = ("accounts", 0, "buckets", 3, "labels", "my-team")
    assert path_text(place) == 'accounts[0].buckets[3].labels["my-team"]'
    assert path_text(("my-key", "x")) == '["my-key"].x'
    assert path_text(()) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("60", '"60"'),
        ('say "é"', r'"say \"é\""'),
        ("a\nb\x7f\u2028", r'"a\nb\u007f\u2028"'),
        ("x" * 61, f'"{"x" * 60}…"'),
    ],
)
def test_quoted_text_is_short_and_printable(text: str, shown: str) -> None:
    """Quoted text is escaped and truncated."""
    assert quoted(text) == shown


def test_parts_come_after_the_whole() -> None:
    """Problems are sorted by file and line."""
    report = Report("a")
    first, second = report.part("b"), report.part("c")
    second.add(1, (), "fourth")
    first.add(None, (), "third")
    report.add(2, (), "second")
    report.add(1, (), "first")
    with pytest.raises(ConfigError) as caught:
        report.raise_if_any()
    messages = [problem.message for problem in caught.value.problems]
    assert messages == ["first", "second", "third", "fourth"]


def test_only_what_looks_like_a_key_is_quoted_as_one() -> None:
    """Text in the place of a key is quoted only if it looks like a key, as it may be a secret."""
    assert key_text("poll_intervall") == 'the key "poll_intervall"'
    assert key_text("eyJ0.e30.c2ln") == "this key"
