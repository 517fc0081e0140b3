"""Whether the files of a configuration are still those that it was read from.

Only their places and stamps are looked at, never what is in them. Files with tokens and passwords
are none of them: whoever uses those reads them anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.config.bucket_files import matches

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config.problems import ConfigError
    from exporter.config.settings import Config


def signature(config: Config | ConfigError) -> object:
    """A hashable value that differs once a file was changed, replaced, added or removed.

    Of a configuration that cannot be used it tells when it may have been mended.

    Symbolic links are followed: Kubernetes swaps them.
    """
    files = sorted({*config.files, *matches(config.bucket_globs)})
    return tuple((file, _stamp(file)) for file in files)


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
