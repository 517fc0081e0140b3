"""Splits shell text into commands, each a list of words, without running them.

Supports what the examples in the documentation use: quotes, comments, line continuations, pipes,
redirections, loops and variables before a command.
"""

from __future__ import annotations

import re
import shlex
from itertools import groupby

_KEYWORDS = {"do", "done", "for", "set", "cd"}
_SEPARATORS = set("();<>|&\n")


def commands(text: str) -> list[list[str]]:
    """The commands in a shell text, without their redirections and variables."""
    joined = re.sub(r"\\\n", " ", text)
    lexer = shlex.shlex(
        re.sub(r"(?m)(^|\s)#.*$", r"\1", joined), posix=True, punctuation_chars="();<>|&\n"
    )
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    found = []
    redirected = False
    for separates, group in groupby(lexer, key=lambda word: set(word) <= _SEPARATORS):
        words = list(group)
        if separates:
            redirected = words[-1][-1] in "<>"
        elif not redirected:
            found.append(_without_variables(words))
    return [words for words in found if words and words[0] not in _KEYWORDS]


def _without_variables(words: list[str]) -> list[str]:
    """The words from the command's name on."""
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        words = words[1:]
    return words
