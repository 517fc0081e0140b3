"""Shared by the tests of the configuration: an environment, and helpers to load text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.config import Config, ConfigError, load, parse

DATA = Path(__file__).parents[1] / "data"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"
ENVIRON = {
    "FLASHBACK_TOKEN": TOKEN,
    "EMPTY": "",
    "WORD": "hunter2",
    "NUMBER": "90",
    "PHRASE": "correct horse battery staple",
    "HOST": "api.example.com",
    "NODES": "200",
    "BUCKET": "65f1c0ffee",
    "NESTED": "${WORD}",
}

ACCOUNT = """\
accounts:
  - name: main
    authorization: {credentials_file: token}
    buckets: [65f1c0ffee]
"""


def good(text: str, environ: Mapping[str, str] = ENVIRON) -> Config:
    """Parse a valid configuration."""
    return parse(text, path=Path("etc/config.yaml"), environ=environ)


def problems(text: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    """Parse an invalid configuration; return its problems without the file's name."""
    with pytest.raises(ConfigError) as caught:
        parse(text, path=Path("x"), environ=environ)
    return [str(problem).removeprefix("x:") for problem in caught.value.problems]


def written(directory: Path, text: str, **others: str) -> Path:
    """Write a configuration file, and other files next to it, given by name without `.yaml`."""
    for name, content in (("config", text), *others.items()):
        (directory / f"{name}.yaml").write_text(content, encoding="utf-8")
    return directory / "config.yaml"


def load_problems(path: Path) -> list[str]:
    """The problems of a file, without its directory."""
    with pytest.raises(ConfigError) as caught:
        load(path, ENVIRON)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]
