"""The files that `bucket_files` names: which account they belong to, and their content.

Each file has its own report, a part of the configuration file's, and is read once per load.
`schema` defines the entries; `rules` reports duplicates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from exporter.config.problems import ConfigError, Place, Report, path_text, quoted
from exporter.config.pydantic_messages import report_shape
from exporter.config.schema import BUCKET_FILE, BucketDocument
from exporter.config.sources import (
    DirectoryError,
    Pattern,
    Sources,
    file_text,
    is_directory,
    unreadable,
)
from exporter.config.yaml_errors import decoded
from exporter.config.yaml_tree import Tree, YamlNode, read

_NO_FILE = 'no such file: fix the path, or write a pattern such as "buckets/*.yaml"'
_UNMATCHED = "no file matches this pattern yet: fix the pattern if a file should match"
_HOME = "~ is not expanded: write the full path"
_DIRECTORY = "this is a directory: write its files, for example {}"
_TAKEN = "{file} already belongs to {owner}: name it in one account only"


@dataclass(frozen=True, slots=True)
class BucketFile:
    """A file that was found. `buckets` is empty if it is invalid: the tree's report says why."""

    path: Path
    account: Place
    tree: Tree
    buckets: list[BucketDocument]


def bucket_files(
    tree: Tree, directory: Path, environ: Mapping[str, str], sources: Sources
) -> list[BucketFile]:
    """The files of all accounts, ordered by account, then by path."""
    found = _owners(tree, directory, sources)
    return [
        _bucket_file(path, account, tree.report.part(file_text(path)), environ, sources)
        for account, _ in tree.children(("accounts",))
        for path in sorted(found, key=str)
        if found[path] == account
    ]


def report_unmatched_patterns(
    tree: Tree, directory: Path, sources: Sources, remarks: Report
) -> None:
    """Warn of each pattern that no file matches. Call it after the files are read."""
    for place, pattern in _patterns(tree, directory):
        if sources.listings[pattern] == ():
            remarks.add(tree.nearest(place)[1].line, place, _UNMATCHED)


def _owners(tree: Tree, directory: Path, sources: Sources) -> dict[Path, Place]:
    """Each file that exists, with the first account that names it."""
    owners: dict[Path, Place] = {}
    for place, pattern in _patterns(tree, directory):
        account = place[:2]
        for path in _found(tree, place, pattern, sources):
            if owners.setdefault(path, account) != account:
                owner = path_text(owners[path])
                tree.refuse(place, _TAKEN.format(file=file_text(path), owner=owner))
    return owners


def _found(tree: Tree, place: Place, pattern: Pattern, sources: Sources) -> tuple[Path, ...]:
    try:
        found = sources.files(pattern)
    except DirectoryError as error:
        tree.refuse(place, str(error))
        return ()
    if not found and pattern.is_plain:
        tree.refuse(place, _absence(pattern))
    return found


def _absence(pattern: Pattern) -> str:
    if is_directory(pattern.path):
        return _DIRECTORY.format(quoted(str(Path(pattern.text, "*.yaml"))))
    return _HOME if pattern.text.startswith("~") else _NO_FILE


def _patterns(tree: Tree, directory: Path) -> list[tuple[Place, Pattern]]:
    """The patterns without a problem so far, each with its place."""
    return [
        (place, Pattern(directory, node.value))
        for account, _ in tree.children(("accounts",))
        for place, node in tree.children((*account, "bucket_files"))
        if isinstance(node.value, str) and not tree.report.has(place)
    ]


def _bucket_file(
    path: Path, account: Place, report: Report, environ: Mapping[str, str], sources: Sources
) -> BucketFile:
    tree = _tree(path, report, environ, sources)
    try:
        buckets = BUCKET_FILE.validate_python(tree.root.plain())
    except ValidationError as error:
        report_shape(error, tree, within="buckets")
        buckets = []
    return BucketFile(path, account, tree, buckets)


def _tree(path: Path, report: Report, environ: Mapping[str, str], sources: Sources) -> Tree:
    """The file's tree; an empty one if it cannot be read."""
    try:
        return read(decoded(sources.read_bucket_file(path), report), environ, report)
    except OSError as error:
        report.add(None, (), unreadable(error, "give the exporter read permission"))
    except ConfigError:
        pass  # already in the report; go on with the other files
    return Tree(YamlNode(1, None), report)
