"""The table of values in the chart's README, generated from the comments in values.yaml.

A comment that begins with `# --` is above a key, and describes it with everything below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import yaml

BEGIN = "<!-- values: made by `python -m tests.chart` from values.yaml -->\n"
END = "<!-- end of values -->\n"
MARK = "# -- "


class Value(NamedTuple):
    """A documented value, and its default on one line of YAML."""

    path: str
    text: str
    default: str


def documented(values_yaml: str) -> list[Value]:
    """Every documented value in the file's order; raises KeyError for a leaf without a comment."""
    lines = values_yaml.splitlines()
    root = yaml.compose(values_yaml)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml must be a mapping")
    return list(_documented(root, "", lines))


def _documented(node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Value]:
    for key, child in node.value:
        path = prefix + key.value
        text = _comment(lines, key.start_mark.line)
        if text:
            yield Value(path, text, json.dumps(_plain(child), ensure_ascii=False))
        elif isinstance(child, yaml.MappingNode) and child.value:
            yield from _documented(child, f"{path}.", lines)
        else:
            raise KeyError(f"{path} has no comment that begins with {MARK!r}")


def defaults(values_yaml: str) -> dict[str, object]:
    """The defaults that replace null; a mapping or list becomes empty."""
    found: dict[str, object] = {}
    for path, _, default in documented(values_yaml):
        *above, name = path.split(".")
        place: dict[str, object] = found
        for step in above:
            place = place.setdefault(step, {})  # type: ignore[assignment] # only mappings are above
        value = json.loads(default)
        place[name] = type(value)() if isinstance(value, dict | list) else value
    return found


def _comment(lines: list[str], line: int) -> str:
    """The comment above a line; empty if it is not for the table."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip())
        if found[0].startswith(MARK):
            return " ".join(each.removeprefix(MARK).removeprefix("# ") for each in found)
    return ""


def _plain(node: yaml.Node) -> object:
    return yaml.safe_load(yaml.serialize(node))


def table(values: list[Value]) -> str:
    """The values as a Markdown table."""
    rows = [f"| `{path}` | `{default}` | {_cell(text)} |" for path, text, default in values]
    return "\n".join(["| value | default | |", "|---|---|---|", *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def with_table(readme: str, values_yaml: str) -> str:
    """The README with the table of these values between its marks."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table(documented(values_yaml))}\n{END}{after}"
