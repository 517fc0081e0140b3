"""YAML text to a tree of plain values, each with its line in the file.

Scalars keep their literal text, so that `0123` and `12:30:45` are not read as numbers. Aliases,
merge keys and environment variables are resolved. Nothing here knows what the keys mean.
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
"""How many values a document may have after its aliases are expanded."""

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
    """A value in the file. Its repr omits the value, since it may be a secret."""

    line: int  # from 1; of its key, if it has one
    value: str | list[YamlNode] | dict[str, YamlNode] | None = field(repr=False)
    written: str = field(default="", repr=False)  # a scalar before variables are expanded
    quoted: bool = False  # a scalar in quotes or a block, which YAML reads as a string

    def plain(self) -> Plain:
        """The value and its children, without line numbers."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, step: str | int) -> YamlNode | None:
        """The value under a key or an index."""
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
        """The node at `place`, or its nearest ancestor if there is none, with its place."""
        node = self.root
        for depth, step in enumerate(place):
            child = node.child(step)
            if child is None:
                return place[:depth], node
            node = child
        return place, node

    def children(self, place: Place) -> list[tuple[Place, YamlNode]]:
        """The entries of the list at `place`; none if there is no list."""
        found, node = self.nearest(place)
        if found != place or not isinstance(node.value, list):
            return []
        return [((*place, index), child) for index, child in enumerate(node.value)]

    def refuse(self, place: Place, message: str) -> None:
        """Report a problem with the value at `place`, or with its absence."""
        found, node = self.nearest(place)
        self.report.add(node.line, found, message)


def read(text: str, environ: Mapping[str, str], report: Report) -> Tree:
    """The tree of `text`. If that is empty, the value of the root is None.

    Adds problems to `report`. Raises ConfigError if it is not valid YAML.
    """
    root = compose(text, report)
    if root is None:
        return Tree(YamlNode(1, None), report)
    return Tree(_Builder(environ, report).node(root, _line(root), ()), report)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _tag_fault(tag: str) -> str:
    if tag.startswith(_YAML):
        return f"the tag {quoted(tag.replace(_YAML, '!!'))} is not supported: remove it"
    return "a value that starts with ! is a YAML tag: quote the value, or remove the tag"


def _key_fault(key: yaml.Node) -> str:
    if isinstance(key, yaml.MappingNode) and key.flow_style:
        return "{{…}} looks like an unrendered template: render it, or quote the value"
    return "a key must be a string, not a list or a mapping: fix the indentation or the brackets"


class _Builder:
    """Builds the tree from YAML nodes, and stops if aliases make it endless."""

    def __init__(self, environ: Mapping[str, str], report: Report) -> None:
        self._environ = environ
        self._report = report
        self._around: list[yaml.Node] = []
        self._count = 0

    def node(self, node: yaml.Node, line: int, place: Place) -> YamlNode:
        """The node of the tree for `node`, which is at `place`."""
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
            self._report.fail(
                line,
                place,
                "this contains itself through an alias: write the value instead of the alias",
            )
        if self._count > MAX_VALUES:
            self._report.fail(line, place, f"aliases expand to over {MAX_VALUES} values: use fewer")
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
        """The mapping's own entries, and those that its `<<` adds."""
        entries = self._entries(node, place)
        if _MERGE not in entries:
            return entries
        key, sources = entries.pop(_MERGE)
        for source in sources.value if isinstance(sources, yaml.SequenceNode) else [sources]:
            if isinstance(source, yaml.MappingNode):
                with self._inside(source, _line(key), place):
                    entries = self._merged(source, place) | entries
            else:
                self._report.add(_line(key), place, '"<<" needs a mapping: write an alias of one')
        return entries

    def _entries(self, node: yaml.MappingNode, place: Place) -> _Entries:
        """The mapping's own entries by key; `<<` by its tag."""
        entries: _Entries = {}
        for key, value in node.value:
            name = _MERGE if key.tag == _MERGE else key.value
            if not isinstance(key, yaml.ScalarNode):
                self._report.add(_line(key), place, _key_fault(key))
            elif name in entries:
                line = _line(entries[name][0])
                message = f"{key_text(key.value)} is already in line {line}: remove one of them"
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
_NESTED = 'a default cannot contain another "${…}": write the default itself'


def expand(text: str, environ: Mapping[str, str], faults: list[str]) -> str:
    """The text with its variables expanded, once. Errors are appended to `faults`."""
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
    remedy = f'set it, or write a default as in "${{{name}:-default}}"'
    if name in environ:
        return f"the environment variable {name} is empty: {remedy}"
    if close := get_close_matches(name, environ, 1, 0.85) or _other_case(name, environ):
        remedy = f"did you mean {close[0]}?"
    return f"the environment variable {name} is not set: {remedy}"


def _other_case(name: str, environ: Mapping[str, str]) -> list[str]:
    return [each for each in environ if each.upper() == name.upper()]
