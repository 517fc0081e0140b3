"""What may stand in a configuration only once: names of accounts, ids of buckets, statuses.

Texts are compared as they are used, with variables put in. Of two that are the same the second is
the fault, in the order of the accounts and within one its own buckets before its files'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from exporter.config.bucket_files import BucketFile
from exporter.config.problems import Place, path_text, quoted
from exporter.config.yaml_tree import Tree, YamlNode


class _Entry(NamedTuple):
    tree: Tree
    place: Place
    node: YamlNode


def report_repeats(tree: Tree, files: Sequence[BucketFile]) -> None:
    """Report each text that stands a second time."""
    _report(_texts(_entries(tree, ("accounts",)), "name"))
    _report(_texts(_buckets(tree, files), "id"))
    _report(_entries(tree, ("global", "known_statuses")))


def _entries(tree: Tree, place: Place) -> Iterator[_Entry]:
    for child_place, child in tree.children(place):
        yield _Entry(tree, child_place, child)


def _buckets(tree: Tree, files: Sequence[BucketFile]) -> Iterator[_Entry]:
    for account, _ in tree.children(("accounts",)):
        yield from _entries(tree, (*account, "buckets"))
        for file in files:
            if file.account == account:
                yield from _entries(file.tree, ())


def _texts(entries: Iterable[_Entry], key: str) -> Iterator[_Entry]:
    """Of each entry the text under `key`, or the entry itself where that is only a text."""
    for tree, place, node in entries:
        child = node.child(key)
        yield _Entry(tree, place, node) if child is None else _Entry(tree, (*place, key), child)


def _report(entries: Iterable[_Entry]) -> None:
    seen: dict[str, _Entry] = {}
    for entry in entries:
        tree, place, node = entry
        if not isinstance(node.value, str) or tree.report.has(place):
            continue
        first = seen.setdefault(node.value, entry)
        if first is not entry:
            where = _whereabouts(first, tree)
            message = f"{quoted(node.written)} is the same as {where}: change or remove one of them"
            tree.refuse(place, message)


def _whereabouts(entry: _Entry, seen_from: Tree) -> str:
    file, line = entry.tree.report.file, entry.node.line
    where = f"line {line}" if entry.tree is seen_from else f"{file}:{line}"
    return f"{path_text(entry.place)} in {where}"
