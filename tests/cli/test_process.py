"""The process around a command: what it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.test_commands import ANY_PORT, CONFIG, finished

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose API nobody serves."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(api="http://127.0.0.1:9"))
    return file


def test_odd_names_are_spelt_out(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command quotes in warnings and problems does nothing to the terminal."""
    monkeypatch.setenv("FLASHBACK_EXPORTER_LOG_LEVEL\x1b\u202e", "x")
    warned = finished("check", f"--config.file={config}").stderr
    assert "FLASHBACK_EXPORTER_LOG_LEVEL\\u001b\\u202e: this sets nothing" in warned
    refused = finished(f"--config.file={config}", ANY_PORT, "--web.config.file=no\x1b.yaml").stderr
    assert "no\\u001b.yaml: cannot be read" in refused
    for line in (warned + refused).splitlines():
        assert line.isprintable()
