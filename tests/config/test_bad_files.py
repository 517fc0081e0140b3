"""Each file in tests/data/bad_config gives exactly the errors in its .txt file."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import ConfigError, load
from tests.config.samples import DATA, ENVIRON

BAD = DATA / "bad_config"
SECRETS = ("hunter2", "correct horse", "eyJ", "dG9rZW4")


@pytest.mark.parametrize("name", sorted(path.stem for path in BAD.glob("*.yaml")))
def test_error_is_exactly_the_expected_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All problems of a file are reported, one per line, with their line and fix."""
    monkeypatch.chdir(BAD)
    with pytest.raises(ConfigError) as caught:
        load(Path(f"{name}.yaml"), ENVIRON)
    assert f"{caught.value}\n" == Path(f"{name}.txt").read_text(encoding="utf-8")


def test_every_expected_error_has_its_file() -> None:
    """Each expected text belongs to a file."""
    assert {path.stem for path in BAD.glob("*.txt")} == {path.stem for path in BAD.glob("*.yaml")}


@pytest.mark.parametrize("secret", SECRETS)
def test_no_error_shows_a_secret(secret: str) -> None:
    """No error contains tokens, passwords in URLs or values of variables."""
    texts = [path.read_text(encoding="utf-8") for path in BAD.glob("*.txt")]
    assert not [text for text in texts if secret in text]
