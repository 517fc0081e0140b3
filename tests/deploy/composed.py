"""Helpers that read the compose files: version, services and mounts."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
"""The version of the source, which may differ from the installed one."""

FOLDER = ROOT / "deploy" / "compose"
MAIN = FOLDER / "compose.yaml"
REAL = FOLDER / "compose.real.yaml"


def services(path: Path = MAIN) -> dict[str, dict[str, Any]]:
    """The services in a compose file, by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["services"]
    return found


def mounts(service: dict[str, Any]) -> dict[str, Path]:
    """The repository's files and directories that a service mounts, by path in the container."""
    found = {}
    for volume in service.get("volumes", []):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            found[target] = (FOLDER / source).resolve()
    return found


def lay_out(name: str, folder: Path) -> Path:
    """Copy a service's mounted files to a directory that stands for the container's root."""
    for target, source in mounts(services()[name]).items():
        place = folder / target.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place)
        else:
            text = source.read_text()
            place.write_text(text.replace("/etc/", f"{folder}/etc/"))
    return folder
