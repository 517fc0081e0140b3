"""A file's bytes to text and YAML text to YAML nodes, or one clear problem.

Only the syntax is judged here, in words that say what to do. `yaml.compose` constructs no object,
whatever the tags in the text say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from exporter.config.problems import Report

MAX_DEPTH = 32
"""How deeply values may be nested; libyaml's composer overflows the stack at some ten thousand."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it: several times as fast."""

_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_REMEDIES = {
    "but found another document": "one file holds one document: remove what follows the '---'",
    "did not find expected <document start>": "remove what follows the end of the document, '...'",
    "tab character": "indent with spaces, not with tabs",
    "cannot start any token": "quote the value, since it starts with a special character",
    "mapping values are not allowed": "quote a value that holds ': ', or mend the indentation",
    "unexpected end of stream": "a quote or a bracket that is opened here is never closed",
    "did not find expected key": "mend the indentation, a quote or a bracket here",
    "did not find expected '-' indicator": "mend the indentation, or start the line with '- '",
    "did not find expected ','": "a comma, a quote or a closing bracket is missing up to here",
    "escape": "write a backslash twice, or put the text in single quotes",
    "expected hex": "write a backslash twice, or put the text in single quotes",
    "undefined alias": "an alias (*name) needs its anchor (&name) before it",
    "second occurrence": "give each anchor (&name) a name of its own",
}
"""What to do about what libyaml says, by a part of its words."""


def decoded(content: bytes, report: Report) -> str:
    """The text of a file, without a byte order mark. Reports and raises."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        report.fail(line, (), "this is not UTF-8: save the file in that encoding")


def compose(text: str, report: Report) -> yaml.Node | None:
    """The root of the one document in `text`; None where there is none. Reports and raises."""
    if bad := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        report.fail(line, (), f"the character U+{ord(bad[0]):04X} cannot stand in YAML: remove it")
    try:
        _check_depth(text, report)
        return yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        line = _line(error)
        report.fail(line, (), _message(error, text, line))


def _check_depth(text: str, report: Report) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH and event.start_mark:
            report.fail(event.start_mark.line + 1, (), "this is nested too deeply: flatten it")


def _line(error: yaml.MarkedYAMLError) -> int:
    """Where the trouble begins: for something never closed, where it was opened."""
    mark = error.problem_mark
    if "end of stream" in (error.problem or ""):
        mark = error.context_mark or mark
    return 1 if mark is None else mark.line + 1


def _message(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    return f"this is not valid YAML ({error.problem}): {_remedy(error.problem or '', text, line)}"


def _remedy(problem: str, text: str, line: int) -> str:
    written = text.splitlines()[line - 1] if line <= len(text.splitlines()) else ""
    if problem.startswith("did not find expected ',' or") and "${" in written:
        return 'inside {…} and […], put "${…}" in double quotes'
    if written.lstrip(" ").startswith("\t"):
        return _REMEDIES["tab character"]
    found = (remedy for words, remedy in _REMEDIES.items() if words in problem)
    return next(found, "mend this line or the one before")
