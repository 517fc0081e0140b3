"""Files that people point the exporter at: regular ones only, of a bounded size.

Everything here may block, as on a dead network mount: on the event loop, call it through
`BlockingCalls`.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TypeAlias

SECRET_LIMIT = 2**20
"""Bytes of a file that holds a token or a password."""

CONFIG_LIMIT = 64 * 2**20
"""Bytes of any other file: configuration, bucket files, certificates."""

Fingerprint: TypeAlias = tuple[int, ...]


def read_file(path: Path, limit: int = CONFIG_LIMIT) -> bytes:
    """The whole content of a regular file. Symbolic links are followed, as Kubernetes needs.

    Raises OSError, whose `strerror` says what is wrong, also for what is no regular file, such as
    a FIFO or a device, for more than `limit` bytes, and for a name that no file can have.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - opening a device may have effects
    except ValueError as error:  # a NUL character
        raise FileNotFoundError(errno.ENOENT, "no file can have this name", str(path)) from error
    _require_regular(found.st_mode, path)
    # Without O_NONBLOCK, a FIFO that takes the file's place now would hang the open.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - of a descriptor
        _require_regular(os.fstat(descriptor).st_mode, path)
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit // 2**20} MiB", str(path))
    return content


def fingerprint(path: Path) -> Fingerprint | None:
    """A value that changes when the file, or who may read it, is changed, or when it is replaced.

    None while there is none.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def _require_regular(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
