"""Which files a pattern of `bucket_files` stands for by now.

As glob's, except that a directory that cannot be listed is an error: taken for an empty one, it
would drop its buckets. What stands in the files is read in `bucket_files`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import filter as fitting
from itertools import takewhile
from pathlib import Path

from exporter.config.problems import file_text

_WILDCARD = re.compile(r"[*?[]")
_ABSENT = (FileNotFoundError, NotADirectoryError)


class ListingError(Exception):
    """It cannot be told which files there are. Its text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path with or without `*`, `?` and `[…]`, from the directory on where it is relative."""

    directory: Path
    text: str

    @property
    def path(self) -> Path:
        """The whole of it."""
        return self.directory / self.text

    @property
    def is_plain(self) -> bool:
        """Whether it has no wildcard, and so names one file."""
        return not _WILDCARD.search(self.text)

    def files(self) -> tuple[Path, ...]:
        """The files there are, by name: no directories, and none that is hidden for a `*`.

        Raises ListingError. Directories that a wildcard found may lack what comes after it.
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
    """Whether it is one. Of what cannot be looked at, whoever reads it will say why."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises, as for a name that is too long


def _is_plain(step: str) -> bool:
    return not _WILDCARD.search(step)


def _below(directory: Path, step: str, *, is_first: bool) -> Iterator[Path]:
    """What a step of a pattern leads to from a directory; the first is one with a wildcard."""
    if _is_plain(step):
        if _exists(directory / step):
            yield directory / step
        return
    try:
        names = os.listdir(directory)  # noqa: PTH208 - names are what is asked for
    except _ABSENT as error:
        if is_first:
            raise _listing_error(directory, error, "make it, or fix the path") from error
        return
    except OSError as error:
        remedy = "let the exporter list it, or fix the path"
        raise _listing_error(directory, error, remedy) from error
    are_hidden_meant = step.startswith(".")
    for name in fitting(names, step):
        if are_hidden_meant or not name.startswith("."):
            yield directory / name


def _listing_error(directory: Path, error: OSError, remedy: str) -> ListingError:
    which = f"the directory {file_text(directory)}"
    return ListingError(f"{which} cannot be read ({error.strerror}): {remedy}")


def _exists(path: Path) -> bool:
    """Whether there is such a file, be it a link that leads nowhere. Raises ListingError."""
    try:
        path.lstat()
    except _ABSENT:
        return False
    except OSError as error:
        remedy = "fix the path, or let the exporter read the file"
        message = f"{file_text(path)} cannot be read ({error.strerror}): {remedy}"
        raise ListingError(message) from error
    return True
