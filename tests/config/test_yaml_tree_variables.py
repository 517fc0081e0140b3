"""Expansion of environment variables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.yaml_tree import expand

ENVIRON = {"A": "a-value", "B": "${A}", "E": ""}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${A}", "a-value"),
        ("x${A}y${A}z", "xa-valueya-valuez"),
        ("${A:-other}", "a-value"),
        ("${E:-other}", "other"),
        ("${U:-other}", "other"),
        ("${U:-}", ""),
        ("${U:-a:-b $ {c}", "a:-b $ {c"),
        ("${B}", "${A}"),
        ("$${A}", "${A}"),
        ("$${", "${"),
        ("$$${A}", "$${A}"),
        ("$A $ $$ {A} $(A)", "$A $ $$ {A} $(A)"),
    ],
)
def test_references_are_replaced_once(text: str, expanded: str) -> None:
    """Variables and defaults are inserted, `$${` becomes `${`, and other `$` are kept."""
    faults: list[str] = []
    assert expand(text, ENVIRON, faults) == expanded
    assert not faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("${U}", "variable U is not set"),
        ("${E}", "variable E is empty"),
        ("${}", "not followed by a variable's name"),
        ("${A", "not followed by a variable's name"),
        ("${1A}", "not followed by a variable's name"),
        ("${A-B}", "not followed by a variable's name"),
        ("${A:?no}", "not followed by a variable's name"),
        ("${ A }", "not followed by a variable's name"),
        ("${U:-${A}}", "cannot contain another"),
    ],
)
def test_what_cannot_be_replaced_is_a_fault(text: str, fault: str) -> None:
    """An invalid reference is reported without the value of a variable."""
    faults: list[str] = []
    expand(text, ENVIRON, faults)
    (found,) = faults
    assert fault in found
    assert "a-value" not in found


def test_every_fault_of_a_text_is_told() -> None:
    """Every invalid reference in a text is reported."""
    faults: list[str] = []
    expand("${U} ${A} ${V}", ENVIRON, faults)
    assert len(faults) == 2


@given(st.text().filter(lambda text: "${" not in text))
def test_text_without_references_is_unchanged(text: str) -> None:
    """Text without `${` is unchanged."""
    assert expand(text, {}, []) == text


@given(st.text(min_size=1))
def test_value_of_a_variable_is_never_expanded(value: str) -> None:
    """The value of a variable is not expanded again."""
    assert expand("<${A}>", {"A": value}, []) == f"<{value}>"


@given(st.text())
def test_any_text_can_be_written(text: str) -> None:
    """Any text can be written with `$${` for `${`, unless a `$` precedes it."""
    faults: list[str] = []
    assert expand(text.replace("${", "$${"), {}, faults) == text
    assert not faults
