"""The files that a configuration is read from, the matches of patterns, and their changes.

The state of a file is taken just before the file is read, so that no later change is missed. Files
with tokens and passwords are not included: `upstream.credentials` watches them. Everything here may
block.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import filter as fitting
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

from exporter.blocking import Fingerprint, fingerprint, read_file

_WILDCARD = re.compile(r"[*?[]")
_ABSENT = (FileNotFoundError, NotADirectoryError)


class DirectoryError(Exception):
    """The files of a pattern cannot be listed. Its text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path with or without `*`, `?` and `[…]`, relative to the directory."""

    directory: Path
    text: str

    @property
    def path(self) -> Path:
        """The directory and the text together."""
        return self.directory / self.text

    @property
    def is_plain(self) -> bool:
        """Whether it has no wildcard and names one file."""
        return not _WILDCARD.search(self.text)

    def files(self) -> tuple[Path, ...]:
        """The files that match, by name: no directories, and for a `*` no hidden files.

        Raises DirectoryError. A directory that matches a wildcard but lacks the rest of the path is
        skipped.
        """
        steps = Path(self.text).parts
        start = tuple(takewhile(_is_plain, steps))
        found = [self.directory.joinpath(*start)]
        if start == steps:
            found = [path for path in found if _exists(path)]
        for depth, step in enumerate(steps[len(start) :]):
            found = [each for path in found for each in _below(path, step, is_first=not depth)]
        return tuple(sorted(path for path in found if not is_directory(path)))


def is_directory(path: Path) -> bool:
    """Whether it is a directory. False if that is unknown: reading it then gives the error."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises, as for a name that is too long


def _is_plain(step: str) -> bool:
    return not _WILDCARD.search(step)


def _below(directory: Path, step: str, *, is_first: bool) -> Iterator[Path]:
    """The matches of one step of a pattern. For the first step, the directory must exist."""
    if _is_plain(step):
        if _exists(directory / step):
            yield directory / step
        return
    try:
        names = os.listdir(directory)  # noqa: PTH208 - only names are needed
    except _ABSENT as error:
        if is_first:
            raise _listing_error(directory, error, "create it, or fix the path") from error
        return
    except OSError as error:
        remedy = "give the exporter permission to list it, or fix the path"
        raise _listing_error(directory, error, remedy) from error
    matches_hidden = step.startswith(".")
    for name in fitting(names, step):
        if matches_hidden or not name.startswith("."):
            yield directory / name


def _listing_error(directory: Path, error: OSError, remedy: str) -> DirectoryError:
    which = f"the directory {file_text(directory)}"
    return DirectoryError(f"{which} cannot be read ({error.strerror}): {remedy}")


def _exists(path: Path) -> bool:
    """Whether there is such a file, or a broken link. Raises DirectoryError."""
    try:
        path.lstat()
    except _ABSENT:
        return False
    except OSError as error:
        remedy = "fix the path, or give the exporter read permission"
        message = f"{file_text(path)} cannot be read ({error.strerror}): {remedy}"
        raise DirectoryError(message) from error
    return True


Stamps: TypeAlias = dict["Path", "Fingerprint | None"]

_REMEDIES = {
    errno.EINVAL: "save it as a regular file; pipes, such as <(…), and devices are not supported",
    errno.EFBIG: "make it smaller",
}
"""What to do about errors of `read_file` itself."""


@dataclass(slots=True)
class Sources:
    """The files by kind. Everything here may block."""

    config: Stamps = field(default_factory=dict)
    tls: Stamps = field(default_factory=dict)
    bucket_files: Stamps = field(default_factory=dict)
    listings: dict[Pattern, tuple[Path, ...] | str] = field(default_factory=dict)
    """The files that each pattern of `bucket_files` matched, or the error."""
    tls_digests: dict[Path, str] = field(default_factory=dict, compare=False)
    """Digests of the content of TLS files."""

    def read_config(self, path: Path) -> bytes:
        """The content of the configuration file. Raises OSError."""
        return _read(path, self.config)

    def read_bucket_file(self, path: Path) -> bytes:
        """The content of a bucket file. Raises OSError."""
        return _read(path, self.bucket_files)

    def read_tls(self, path: Path) -> bytes:
        """The content of a file for TLS. Raises OSError."""
        content = _read(path, self.tls)
        self.tls_digests[path] = sha256(content).hexdigest()
        return content

    def files(self, pattern: Pattern) -> tuple[Path, ...]:
        """The files that match a pattern, listed once per load. Raises DirectoryError."""
        if pattern not in self.listings:
            self.listings[pattern] = _listing(pattern)
        found = self.listings[pattern]
        if isinstance(found, str):
            raise DirectoryError(found)
        return found

    def look(self) -> Sources:
        """The same files as they are now: equal if none was changed, added or removed.

        Symbolic links are followed, since Kubernetes replaces them.
        """
        listings = {pattern: _listing(pattern) for pattern in self.listings}
        found = (each for each in listings.values() if not isinstance(each, str))
        return Sources(
            config=_stamps(self.config),
            tls=_stamps(self.tls),
            bucket_files=_stamps(path for paths in found for path in paths),
            listings=listings,
        )

    def __or__(self, newer: Sources) -> Sources:
        """Both together; `newer` wins for files in both."""
        return Sources(
            config=self.config | newer.config,
            tls=self.tls | newer.tls,
            bucket_files=self.bucket_files | newer.bucket_files,
            listings=self.listings | newer.listings,
        )


def file_text(path: Path) -> str:
    """A path for messages, on one printable line."""
    text = str(path)
    return text if text.isprintable() else json.dumps(text)


def unreadable(error: OSError, remedy: str) -> str:
    """The error of a file that cannot be read, and what to do."""
    return f"cannot be read ({error.strerror}): {_REMEDIES.get(error.errno or 0, remedy)}"


def _read(path: Path, stamps: Stamps) -> bytes:
    stamps.setdefault(path, fingerprint(path))  # if it is read twice, the first state counts
    return read_file(path)


def _listing(pattern: Pattern) -> tuple[Path, ...] | str:
    try:
        return pattern.files()
    except DirectoryError as error:
        return str(error)


def _stamps(paths: Iterable[Path]) -> Stamps:
    return {path: fingerprint(path) for path in paths}
