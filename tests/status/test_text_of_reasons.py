"""The texts that describe reasons of failures."""

from __future__ import annotations

from exporter.model import Reason
from exporter.status.text import ADVICE
from tests.test_docs import names, rows


def test_each_reason_has_its_words() -> None:
    """Each reason has a description and a remedy, in the order of the model."""
    assert list(ADVICE) == list(Reason)
    assert all(advice.what and advice.remedy for advice in ADVICE.values())


def test_documentation_says_the_same() -> None:
    """The table in docs/metrics.md has the same texts as the pages."""
    documented = {names(row[0])[0]: tuple(row[1:]) for row in rows("Reasons")}
    assert documented == {reason.value: tuple(advice) for reason, advice in ADVICE.items()}
