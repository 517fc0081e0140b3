"""The files that `bucket_files` names: which ones there are, and what stands in them.

Each has a report of its own within that of the configuration file. Read here, and only once a
load; what their entries may say is in `targets`, what they may not repeat in `rules`.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from exporter.config.problems import ConfigError, file_text, path_text, quoted
from exporter.config.syntax import decoded
from exporter.config.targets import BUCKET_FILE
from exporter.config.tree import Node, Tree, read
from exporter.config.wording import report_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exporter.config.problems import Place, Report
    from exporter.config.targets import BucketDocument

_NO_FILE = 'there is no such file: mend the path, or write a pattern, as "buckets/*.yaml"'
_IN_VAIN = "no file matches this by now: mend the pattern if there should be one"
_HOME = "~ stands for no directory here: write the whole path"
_DIRECTORY = "this is a directory: name the files in it, as {}"
_TAKEN = "this names {file}, which {owner} names already: a bucket belongs to one account"


@dataclass(frozen=True, slots=True)
class BucketFile:
    """A file that was found, as far as it could be read: what is wrong is in its tree's report."""

    path: Path
    account: Place
    tree: Tree
    buckets: list[BucketDocument]


def joined(directory: Path, pattern: str) -> str:
    """The pattern, from the directory on where it is relative."""
    return str(Path(glob.escape(str(directory)), pattern))


def bucket_globs(tree: Tree, directory: Path) -> tuple[str, ...]:
    """Every pattern of the file, each once, as long as no problem with it is known."""
    return tuple(dict.fromkeys(joined(directory, pattern) for _, pattern in _patterns(tree)))


def matches(patterns: Iterable[str]) -> list[Path]:
    """The files there are by now, each once, by name. A `*` stands for no hidden file."""
    found = {path for pattern in patterns for path in glob.glob(pattern)}  # noqa: PTH207 - its * does
    return [path for path in map(Path, sorted(found)) if not path.is_dir()]


def bucket_files(tree: Tree, directory: Path, environ: Mapping[str, str]) -> list[BucketFile]:
    """What the files of all accounts hold, in the order of the accounts and of the names."""
    found = _owners(tree, directory)
    return [
        _bucket_file(path, account, tree.report.part(file_text(path)), environ)
        for account, _ in tree.children(("accounts",))
        for path in sorted(found, key=str)
        if found[path] == account
    ]


def report_patterns_in_vain(tree: Tree, directory: Path, remarks: Report) -> None:
    """Remark on each pattern that no file matches by now."""
    for place, pattern in _patterns(tree):
        if not set("*?[").isdisjoint(pattern) and not matches([joined(directory, pattern)]):
            remarks.add(tree.nearest(place)[1].line, place, _IN_VAIN)


def _owners(tree: Tree, directory: Path) -> dict[Path, Place]:
    """Each file that is there with the account that names it first."""
    owners: dict[Path, Place] = {}
    for place, pattern in _patterns(tree):
        account = place[:2]
        found = matches([joined(directory, pattern)])
        if not found and set("*?[").isdisjoint(pattern):
            tree.refuse(place, _absence(directory, pattern))
        for path in found:
            if owners.setdefault(path, account) != account:
                owner = path_text(owners[path])
                tree.refuse(place, _TAKEN.format(file=file_text(path), owner=owner))
    return owners


def _absence(directory: Path, pattern: str) -> str:
    if (directory / pattern).is_dir():
        return _DIRECTORY.format(quoted(str(Path(pattern, "*.yaml"))))
    return _HOME if pattern.startswith("~") else _NO_FILE


def _patterns(tree: Tree) -> Iterator[tuple[Place, str]]:
    for account, _ in tree.children(("accounts",)):
        for place, node in tree.children((*account, "bucket_files")):
            if isinstance(node.value, str) and not tree.report.has(place):
                yield place, node.value


def _bucket_file(
    path: Path, account: Place, report: Report, environ: Mapping[str, str]
) -> BucketFile:
    tree = _tree(path, report, environ)
    try:
        buckets = BUCKET_FILE.validate_python(tree.root.plain())
    except ValidationError as error:
        report_shape(error, tree, within="buckets")
        buckets = []
    return BucketFile(path, account, tree, buckets)


def _tree(path: Path, report: Report, environ: Mapping[str, str]) -> Tree:
    """The file's tree, an empty one where it cannot be read."""
    try:
        return read(decoded(path.read_bytes(), report), environ, report)
    except OSError as error:
        report.add(None, (), f"cannot be read ({error.strerror}): let the exporter read it")
    except ConfigError:
        pass  # the report has it, and goes on with the other files
    return Tree(Node(1, None), report)
