"""YAML text to a tree of plain values, each with its place in the file.

Scalars keep their literal text, so that `0123` and `12:30:45` stay what the file says; aliases,
merge keys and environment variables are resolved. What the keys mean is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeAlias

import yaml

from exporter.config.problems import Place, Report, key_text, quoted
from exporter.config.yaml_errors import MAX_DEPTH, compose

MAX_VALUES = 1_000_000
"""How many values a document may hold once its aliases are followed."""

_Entries: TypeAlias = "dict[str, tuple[yaml.ScalarNode, yaml.Node]]"
Plain: TypeAlias = "str | list[Plain] | dict[str, Plain] | None"

_YAML = "tag:yaml.org,2002:"
_MERGE = f"{_YAML}merge"
_NULL = f"{_YAML}null"
_SCALAR_TAGS = frozenset(
    _YAML + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
_TAGS = _SCALAR_TAGS | {f"{_YAML}map", f"{_YAML}seq"}


@dataclass(frozen=True, slots=True)
class YamlNode:
    """A value in the file. Its repr leaves the value out, since it may be a secret."""

    line: int  # from 1; of its key, where it has one
    value: str | list[YamlNode] | dict[str, YamlNode] | None = field(repr=False)
    written: str = field(default="", repr=False)  # a scalar before variables were put in
    quoted: bool = False  # a scalar in quotes, or written as a block: YAML takes it for a text

    def plain(self) -> Plain:
        """The value and what is in it, without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, step: str | int) -> YamlNode | None:
        """What stands under a key or an index."""
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int):
            return self.value[step]
        return None


@dataclass(frozen=True, slots=True)
class Tree:
    """A document and the report on it."""

    root: YamlNode
    report: Report

    def nearest(self, place: Place) -> tuple[Place, YamlNode]:
        """The node at `place`, or the innermost around it where there is none, and its place."""
        node = self.root
        for depth, step in enumerate(place):
            child = node.child(step)
            if child is None:
                return place[:depth], node
            node = child
        return place, node

    def children(self, place: Place) -> list[tuple[Place, YamlNode]]:
        """The entries of the list at `place`; none where there is no list."""
        found, node = self.nearest(place)
        if found != place or not isinstance(node.value, list):
            return []
        return [((*place, index), child) for index, child in enumerate(node.value)]

    def refuse(self, place: Place, message: str) -> None:
        """Report a problem with what stands at `place`, or should stand there."""
        found, node = self.nearest(place)
        self.report.add(node.line, found, message)


def read(text: str, environ: Mapping[str, str], report: Report) -> Tree:
    """The tree of `text`; of an empty one the root is None. Reports, and raises if unreadable."""
    root = compose(text, report)
    if root is None:
        return Tree(YamlNode(1, None), report)
    return Tree(_Builder(environ, report).node(root, _line(root), ()), report)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _tag_fault(tag: str) -> str:
    if tag.startswith(_YAML):
        return f"the tag {quoted(tag.replace(_YAML, '!!'))} is not supported: remove it"
    return "YAML takes what starts with ! for a tag: quote the value, or remove the tag"


def _key_fault(key: yaml.Node) -> str:
    if isinstance(key, yaml.MappingNode) and key.flow_style:
        return "this is {{…}}: quote it, or fill in the template that it is from"
    return "a key must be a text, not a list or a mapping: fix the indentation or the brackets"


class _Builder:
    """Walks YAML nodes, and stops where aliases make them endless."""

    def __init__(self, environ: Mapping[str, str], report: Report) -> None:
        self._environ = environ
        self._report = report
        self._around: list[yaml.Node] = []
        self._count = 0

    def node(self, node: yaml.Node, line: int, place: Place) -> YamlNode:
        """The node of the tree for `node`, which stands at `place`."""
        if node.tag not in _TAGS:
            self._report.add(line, place, _tag_fault(node.tag))
        if not isinstance(node, yaml.CollectionNode):
            return self._scalar(node, line, place)
        with self._inside(node, line, place):
            if isinstance(node, yaml.MappingNode):
                return YamlNode(line, self._mapping(node, place))
            return YamlNode(line, self._sequence(node, place))

    @contextmanager
    def _inside(self, node: yaml.Node, line: int, place: Place) -> Iterator[None]:
        self._count += len(node.value)
        if node in self._around:
            self._report.fail(line, place, "this contains itself through an alias: write it out")
        if self._count > MAX_VALUES:
            self._report.fail(
                line, place, f"aliases make over {MAX_VALUES} values of this: use fewer"
            )
        if len(self._around) == MAX_DEPTH:
            self._report.fail(line, place, "the aliases here are nested too deeply: flatten them")
        self._around.append(node)
        yield
        self._around.pop()

    def _scalar(self, node: yaml.Node, line: int, place: Place) -> YamlNode:
        if node.tag == _NULL:
            return YamlNode(line, None)
        faults: list[str] = []
        value = expand(node.value, self._environ, faults)
        for fault in faults:
            self._report.add(line, place, fault)
        quoted = isinstance(node, yaml.ScalarNode) and bool(node.style)
        return YamlNode(line, None if faults else value, node.value, quoted=quoted)

    def _sequence(self, node: yaml.CollectionNode, place: Place) -> list[YamlNode]:
        return [
            self.node(child, _line(child), (*place, index))
            for index, child in enumerate(node.value)
        ]

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, YamlNode]:
        return {
            name: self.node(value, _line(key), (*place, name))
            for name, (key, value) in self._merged(node, place).items()
        }

    def _merged(self, node: yaml.MappingNode, place: Place) -> _Entries:
        """The mapping's own entries, and those that its `<<` brings in beside them."""
        entries = self._entries(node, place)
        if _MERGE not in entries:
            return entries
        key, sources = entries.pop(_MERGE)
        for source in sources.value if isinstance(sources, yaml.SequenceNode) else [sources]:
            if isinstance(source, yaml.MappingNode):
                with self._inside(source, _line(key), place):
                    entries = self._merged(source, place) | entries
            else:
                self._report.add(_line(key), place, '"<<" takes a mapping: put an alias here')
        return entries

    def _entries(self, node: yaml.MappingNode, place: Place) -> _Entries:
        """The mapping's own entries by key, `<<` among them by its tag."""
        entries: _Entries = {}
        for key, value in node.value:
            name = _MERGE if key.tag == _MERGE else key.value
            if not isinstance(key, yaml.ScalarNode):
                self._report.add(_line(key), place, _key_fault(key))
            elif name in entries:
                line = _line(entries[name][0])
                message = f"{key_text(key.value)} stands in line {line} already: remove one of them"
                self._report.add(_line(key), place, message)
            else:
                entries[name] = (key, value)
        return entries


_REFERENCE = re.compile(
    r"""
    (?P<literal> \$\$\{ )
    | \$\{ (?P<name> [A-Za-z_][A-Za-z0-9_]* ) (?: :- (?P<default> [^}]* ) )? \}
    | (?P<malformed> \$\{ )
    """,
    re.VERBOSE,
)
_MALFORMED = (
    '"${" is not followed by a variable\'s name and "}": '
    'write "${NAME}" or "${NAME:-default}", and "$${" for a literal "${"'
)
_NESTED = 'a default cannot hold another "${…}": write the default itself'


def expand(text: str, environ: Mapping[str, str], faults: list[str]) -> str:
    """The text with its references replaced, once. What is wrong with them goes to `faults`."""
    if "${" not in text:
        return text

    def replacement(reference: re.Match[str]) -> str:
        if reference["literal"]:
            return "${"
        if reference["malformed"]:
            faults.append(_MALFORMED)
            return ""
        return _value(reference["name"], reference["default"], environ, faults)

    return _REFERENCE.sub(replacement, text)


def _value(name: str, default: str | None, environ: Mapping[str, str], faults: list[str]) -> str:
    value = environ.get(name, "")
    if default is not None and "${" in default:
        faults.append(_NESTED)
    elif not value and default is None:
        faults.append(_absent(name, environ))
    return value or default or ""


def _absent(name: str, environ: Mapping[str, str]) -> str:
    remedy = f'set it, or give a default as in "${{{name}:-default}}"'
    if name in environ:
        return f"the environment variable {name} is empty: {remedy}"
    if close := get_close_matches(name, environ, 1, 0.85) or _other_case(name, environ):
        remedy = f"did you mean {close[0]}?"
    return f"the environment variable {name} is not set: {remedy}"


def _other_case(name: str, environ: Mapping[str, str]) -> list[str]:
    return [each for each in environ if each.upper() == name.upper()]
