"""The files that a configuration was read from, and whether they are still the same.

Each is looked at just before it is read, so that no change after that is missed. Files with tokens
and passwords are none of them: whoever uses those reads them anew.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from exporter.blocking import Fingerprint, fingerprint, read_file
from exporter.config.patterns import ListingError, Pattern

Stamps: TypeAlias = dict["Path", "Fingerprint | None"]

_REMEDIES = {
    errno.EINVAL: "save it as a file and name that; pipes, as of <(…), and devices are not read",
    errno.EFBIG: "make it smaller",
}
"""What to do about what `read_file` itself refuses."""


@dataclass(slots=True)
class Sources:
    """The files by their kind. Everything here may block."""

    config: Stamps = field(default_factory=dict)
    tls: Stamps = field(default_factory=dict)
    bucket_files: Stamps = field(default_factory=dict)
    listings: dict[Pattern, tuple[Path, ...] | str] = field(default_factory=dict)
    """The files that each pattern of `bucket_files` stood for, or why that could not be told."""
    tls_digests: dict[Path, str] = field(default_factory=dict, compare=False)
    """Of what the files for TLS held."""

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
        """The files that a pattern stands for, the same for the whole load. Raises ListingError."""
        if pattern not in self.listings:
            self.listings[pattern] = _listing(pattern)
        found = self.listings[pattern]
        if isinstance(found, str):
            raise ListingError(found)
        return found

    def look(self) -> Sources:
        """The same files as they are now: equal as long as none was changed, added or removed.

        Symbolic links are followed: Kubernetes swaps them.
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
        """These and others, which count where both know a file."""
        return Sources(
            config=self.config | newer.config,
            tls=self.tls | newer.tls,
            bucket_files=self.bucket_files | newer.bucket_files,
            listings=self.listings | newer.listings,
        )


def unreadable(error: OSError, remedy: str) -> str:
    """What is wrong with a file that cannot be read, and what to do."""
    return f"cannot be read ({error.strerror}): {_REMEDIES.get(error.errno or 0, remedy)}"


def _read(path: Path, stamps: Stamps) -> bytes:
    stamps.setdefault(path, fingerprint(path))  # the first look counts where it is read twice
    return read_file(path)


def _listing(pattern: Pattern) -> tuple[Path, ...] | str:
    try:
        return pattern.files()
    except ListingError as error:
        return str(error)


def _stamps(paths: Iterable[Path]) -> Stamps:
    return {path: fingerprint(path) for path in paths}
