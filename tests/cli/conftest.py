"""Fixtures that the tests of several commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_commands import CONFIG


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose API address has no listener."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(api="http://127.0.0.1:9"))
    return file
