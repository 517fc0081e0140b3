"""A changed file is noticed, and an unchanged one is not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from exporter.config import Config, load, signature
from tests.config.samples import ENVIRON, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = """\
accounts:
  - name: main
    login: {email: ops@example.com, password_file: password}
    bucket_files: [list.yaml, 'more*.yaml']
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with two bucket files, the second through a link, and a password file."""
    (tmp_path / "password").write_text("hunter2")
    (tmp_path / "old").write_text("- two")
    (tmp_path / "new").write_text("- new")
    (tmp_path / "more1.yaml").symlink_to("old")
    return load(written(tmp_path, TEXT, list="- one"), ENVIRON)


def rewrite(directory: Path) -> None:
    """Other content of the same length, a moment later."""
    (directory / "list.yaml").write_text("- 0ne")
    os.utime(directory / "list.yaml", ns=(1, 1))


def swap(directory: Path) -> None:
    """What Kubernetes does: the link leads elsewhere."""
    (directory / "more1.yaml").unlink()
    (directory / "more1.yaml").symlink_to("new")


CHANGES: dict[str, Callable[[Path], object]] = {
    "the configuration grows": lambda path: (path / "config.yaml").write_text(f"{TEXT}\n"),
    "the configuration is gone": lambda path: (path / "config.yaml").unlink(),
    "a list is rewritten": rewrite,
    "a list is replaced": lambda path: (path / "new").rename(path / "list.yaml"),
    "a link leads elsewhere": swap,
    "a link leads nowhere": lambda path: (path / "old").unlink(),
    "another list appears": lambda path: (path / "more2.yaml").touch(),
    "a matching list is gone": lambda path: (path / "more1.yaml").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_change_is_noticed(
    config: Config, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    """Content, identity and presence count, for each file that was read or may appear."""
    before = signature(config)
    assert hash(before) == hash(signature(config))
    change(tmp_path)
    assert signature(config) != before


def test_secrets_and_strangers_do_not_count(config: Config, tmp_path: Path) -> None:
    """Whoever uses a password file reads it anew; other files mean nothing."""
    before = signature(config)
    (tmp_path / "password").write_text("changed")
    (tmp_path / "other.yaml").touch()
    assert signature(config) == before
