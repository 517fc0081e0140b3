"""YAML syntax errors contain no part of a possible secret."""

from __future__ import annotations

import pytest
import yaml

from exporter.config import yaml_errors
from tests.config.samples import problems

SECRETS = ("*hunter2", "!hunter2!x", "[*hunter2, &hunter2 x]", "&hunter2 [&hunter2 x]", ">hunter2")


@pytest.mark.parametrize("loader", [yaml_errors.LOADER, yaml.SafeLoader])
@pytest.mark.parametrize("secret", SECRETS)
def test_neither_parser_shows_a_value(
    monkeypatch: pytest.MonkeyPatch, secret: str, loader: object
) -> None:
    """Errors contain no names of anchors or tags, although PyYAML's own parser quotes them."""
    monkeypatch.setattr(yaml_errors, "LOADER", loader)
    assert "hunter2" not in "\n".join(problems(f"password: {secret}\n"))


def test_conflict_mark_in_a_text_is_no_conflict() -> None:
    """A merge conflict is reported only for a file that is not valid YAML."""
    assert "conflict" not in problems('text: "\n<<<<<<< HEAD\n"\n')[0]


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u200b", "\u3000"])
def test_space_that_looks_plain_is_named(space: str) -> None:
    """An unusual space at the start of a line is reported by code point; in values it is fine."""
    (problem,) = problems(f"accounts:\n{space} - name: main\n")
    assert problem.startswith(f"2: the line starts with U+{ord(space):04X}")
    assert "looks like" not in problems(f'text: "a{space}b"\n')[0]
