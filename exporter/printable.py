"""Text from elsewhere made safe to show to people, in a terminal as on a page. Pure.

How much of a text is shown is for each place to say.
"""

from __future__ import annotations

_LAST_OF_FOUR_DIGITS = 0xFFFF


def printable(text: str) -> str:
    r"""Spell out what has no shape of its own, as `\u202e`.

    Control characters, line ends, lone surrogates and marks that turn the direction of text are
    among these.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelt_out(ord(char)) for char in text)


def _spelt_out(code: int) -> str:
    return f"\\u{code:04x}" if code <= _LAST_OF_FOUR_DIGITS else f"\\U{code:08x}"
