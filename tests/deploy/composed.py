"""The compose files as tests read them: version, services, what is mounted where, from which file.

What is expected of them is not said here.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
"""The version of the source, not of what happens to be installed."""

FOLDER = ROOT / "deploy" / "compose"
MAIN = FOLDER / "compose.yaml"
REAL = FOLDER / "compose.real.yaml"


def services(path: Path = MAIN) -> dict[str, dict[str, Any]]:
    """The services of a compose file by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["services"]
    return found


def mounts(service: dict[str, Any]) -> dict[str, Path]:
    """The repository's files and folders that a service sees, by where it sees them."""
    found = {}
    for volume in service.get("volumes", []):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            found[target] = (FOLDER / source).resolve()
    return found


def lay_out(name: str, folder: Path) -> Path:
    """The files of a service in a folder that stands for its container's root."""
    for target, source in mounts(services()[name]).items():
        place = folder / target.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place)
        else:
            text = source.read_text()
            place.write_text(text.replace("/etc/", f"{folder}/etc/"))
    return folder
