"""Discovery filters: what they match, and errors in their regular expressions."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Discovery
from exporter.config.values import regex


def discovery(include: tuple[str, ...], exclude: tuple[str, ...]) -> Discovery:
    """Discovery settings with these filters."""
    return Discovery(None, 600, tuple(map(re.compile, include)), tuple(map(re.compile, exclude)))


@pytest.mark.parametrize(
    ("include", "exclude", "name", "included"),
    [
        ((), (), "media", True),
        ((), (), "", True),
        (("media",), (), "media", True),
        (("media",), (), "media-eu", False),
        (("edia",), (), "media", False),
        (("a|media",), (), "media-eu", False),
        (("a", "media-.*"), (), "media-eu", True),
        (("media-.*",), ("eu",), "media-eu", True),
        (("media-.*",), (".*-eu",), "media-eu", False),
        ((), ("a", "media"), "media", False),
        ((), ("media",), "media\n", True),
    ],
)
def test_patterns_count_for_the_whole_name(
    include: tuple[str, ...], exclude: tuple[str, ...], name: str, *, included: bool
) -> None:
    """A bucket is included if no exclude and at least one include, if any, match its full name."""
    assert discovery(include, exclude).includes(name) == included


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("(?P=s3cr3t)", 'at character 5: "unknown group name"'),
        ("(?P<s3cr3t", 'at character 5: "missing >, unterminated name"'),
        ("s3cr3t\\y", 'at character 7: "bad escape"'),
        ("(?(s3cr3t)|", 'at character 4: "unknown group name"'),
        ("(s3cr3t", 'at character 1: "missing ), unterminated subpattern"'),
        ("(?a-s3cr3t)", 'at character 6: "missing :"'),
        ("(?-:s3cr3t)", 'at character 4: "missing flag"'),
        ("s3cr3t[z-a]", 'at character 8: "bad character range"'),
        ("s3cr3t{4294967296}", "too large"),
        ("(" * 5000, "too large"),
        ("[[:alpha:]]s3cr3t", "do not support [:alpha:]"),
        ("[s3cr3t--a]", "do not support [:alpha:]"),
    ],
)
def test_fault_is_told_without_the_pattern(text: str, fault: str) -> None:
    """An invalid pattern is reported with its position, but without its text."""
    with pytest.raises(ValueError, match="regular expression") as caught:
        regex(text)
    assert fault in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@given(st.text() | st.text(alphabet="()[]{}?P<>=!:-\\|*+^$.,&~abi019", max_size=12))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    """Any text is a valid pattern or raises ValueError."""
    with suppress(ValueError):
        assert regex(text).pattern == text
