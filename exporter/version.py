"""The version and revision of this build."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from importlib.resources import files

DISTRIBUTION = "flashback-exporter"
VERSION = metadata.version(DISTRIBUTION)


def revision() -> str:
    """The commit of this build, from a file that the build writes next to this module."""
    file = files("exporter") / "REVISION"
    return file.read_text().strip() if file.is_file() else "unknown"


def version_text() -> str:
    """The output of `--version`, in the layout of Prometheus's own programs."""
    return "\n".join(
        (
            f"{DISTRIBUTION}, version {VERSION} (revision: {revision()})",
            f"  python version:   {platform.python_version()}",
            f"  platform:         {platform.system().lower()}/{os.uname().machine}",
        )
    )
