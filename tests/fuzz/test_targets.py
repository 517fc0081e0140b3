"""The corpus of `make fuzz` passes, and the targets detect broken code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import targets

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(CORPUS.glob("*/*"))


def name(path: Path) -> str:
    """The test id of an input."""
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", INPUTS, ids=name)
def test_corpus_holds(path: Path) -> None:
    """Each input in the corpus passes its target."""
    targets.TARGETS[path.parent.name](path.read_bytes())


def test_each_target_has_a_corpus() -> None:
    """Each target has a corpus directory, and there is no other."""
    assert {path.parent.name for path in INPUTS} == targets.TARGETS.keys()


@pytest.mark.parametrize(
    ("target", "function", "wrong"),
    [
        ("negotiation", "wants_openmetrics", lambda _accept: True),
        ("retry_after", "retry_after_seconds", lambda _header, wall: -wall),
    ],
)
def test_broken_promise_is_noticed(
    monkeypatch: pytest.MonkeyPatch, target: str, function: str, wrong: object
) -> None:
    """A target fails if the function that it fuzzes is broken."""
    monkeypatch.setattr(targets, function, wrong)
    with pytest.raises(AssertionError):
        targets.TARGETS[target](b"text/plain")
