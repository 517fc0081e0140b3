"""Errors of YAML's syntax show no part of a possible secret."""

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
    """PyYAML's own parser quotes names of anchors and tags; libyaml does not."""
    monkeypatch.setattr(yaml_errors, "LOADER", loader)
    assert "hunter2" not in "\n".join(problems(f"password: {secret}\n"))


def test_conflict_mark_in_a_text_is_no_conflict() -> None:
    """Only a file that is no YAML is searched for the marks of a merge conflict."""
    assert "conflict" not in problems('text: "\n<<<<<<< HEAD\n"\n')[0]


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u200b", "\u3000"])
def test_space_that_looks_plain_is_named(space: str) -> None:
    """At the start of a line it would be part of the key; within a value it is allowed."""
    (problem,) = problems(f"accounts:\n{space} - name: main\n")
    assert problem.startswith(f"2: the line starts with U+{ord(space):04X}")
    assert "looks like" not in problems(f'text: "a{space}b"\n')[0]
