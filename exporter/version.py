"""Which build this is."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from importlib.resources import files

DISTRIBUTION = "flashback-exporter"
VERSION = metadata.version(DISTRIBUTION)


def revision() -> str:
    """The commit this was built from, where the build wrote it beside this module."""
    file = files("exporter") / "REVISION"
    return file.read_text().strip() if file.is_file() else "unknown"


def version_text() -> str:
    """What `--version` prints, laid out as Prometheus's own programs do."""
    return "\n".join(
        (
            f"{DISTRIBUTION}, version {VERSION} (revision: {revision()})",
            f"  python version:   {platform.python_version()}",
            f"  platform:         {platform.system().lower()}/{os.uname().machine}",
        )
    )
