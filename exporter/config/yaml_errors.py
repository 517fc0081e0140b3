"""A file's bytes to text and YAML text to YAML nodes, or one clear problem.

Only syntax is checked here. `yaml.compose` constructs no objects, whatever tags the text has.
"""

from __future__ import annotations

import re

import yaml

from exporter.config.problems import Report

MAX_DEPTH = 32
"""How deeply values may be nested. libyaml overflows the stack at some ten thousand levels."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, several times as fast, if PyYAML was built with it."""

_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_ODD_INDENTATION = re.compile(r"^[ \t]*[\xa0\u2000-\u200b\u202f\u3000]", re.MULTILINE)
_CONFLICT = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
_KEY_WITHOUT_COLON = re.compile(r"\s*(- )?[\w-]+((:\S| ).*[^:\s])?\s*")
_TAB_IN_FRONT = re.compile(r"[ -]*\t")
_NAME = re.compile("(alias|anchor|handle) '.*?'")
"""What PyYAML's own parser quotes and libyaml does not: it may be part of a secret."""

_TAB = "indent with spaces, not with tabs"
_SPECIAL = "quote the value, since it starts with a special character"
_BACKSLASH = "write a backslash twice, or put the text in single quotes"
_REMEDIES = {
    "but found another document": "only one document is allowed: remove what follows the '---'",
    "tab character": _TAB,
    "cannot start any token": _SPECIAL,
    "expected alphabetic or numeric": _SPECIAL,
    "expected comment or line break": _SPECIAL,
    "undefined tag handle": _SPECIAL,
    "entries are not allowed": "start the list on a new line, with '- '",
    "mapping values are not allowed": "quote a value that contains ': ', or fix the indentation",
    "could not find expected ':'": 'write the line as "key: value", or remove it',
    "unexpected end of stream": "a quote or a bracket that is opened here is never closed",
    "did not find expected key": "fix the indentation, a quote or a bracket here",
    "did not find expected '-' indicator": "fix the indentation, or start the line with '- '",
    "escape": _BACKSLASH,
    "expected hex": _BACKSLASH,
    "undefined alias": "quote the value, since it starts with *, or write &name before *name",
    "second occurrence": "give each anchor (&name) a unique name",
}
"""What to do, by a part of libyaml's message."""


def decoded(content: bytes, report: Report) -> str:
    """The text of a file, without a byte order mark. Reports and raises if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        report.fail(line, (), "this is not UTF-8: save the file as UTF-8")


def compose(text: str, report: Report) -> yaml.Node | None:
    """The root of the document in `text`; None for an empty one. Reports and raises if invalid."""
    if bad := _UNPRINTABLE.search(text):
        line = _line_at(text, bad)
        report.fail(
            line, (), f"the character U+{ord(bad[0]):04X} is not allowed in YAML: remove it"
        )
    if bad := _ODD_INDENTATION.search(text):
        character = f"U+{ord(bad[0][-1]):04X}"
        message = f"the line starts with {character}, which only looks like a space: replace it"
        report.fail(_line_at(text, bad), (), message)
    try:
        _check_depth(text, report)
        return yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        if conflict := _CONFLICT.search(text):
            message = (
                "this is a merge conflict marker: resolve the conflict, and remove the markers"
            )
            report.fail(_line_at(text, conflict), (), message)
        report.fail(_line(error), (), _message(error, text.splitlines()))


def _line_at(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.end() - 1) + 1


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
    """Where the error begins: for something never closed, where it was opened."""
    mark = error.problem_mark
    problem = error.problem or ""
    if "end of stream" in problem or problem.startswith("could not find expected ':'"):
        mark = error.context_mark or mark
    return 1 if mark is None else mark.line + 1


def _message(error: yaml.MarkedYAMLError, lines: list[str]) -> str:
    said = _NAME.sub(r"\1", error.problem or "")
    return f"this is not valid YAML ({said}): {_remedy(error, lines)}"


def _remedy(error: yaml.MarkedYAMLError, lines: list[str]) -> str:
    problem, line = error.problem or "", _line(error)
    written = lines[line - 1] if line <= len(lines) else ""
    before = lines[line - 2] if 1 < line <= len(lines) else ""
    if problem.startswith("did not find expected ',' or"):
        return _remedy_in_brackets(error, written)
    if "document start" in problem:
        return _remedy_after_the_end(lines)
    if _TAB_IN_FRONT.match(written):
        return _TAB
    if written.startswith("```"):
        return "remove the lines with ```, which are Markdown"
    if problem.startswith("mapping values") and _KEY_WITHOUT_COLON.fullmatch(before):
        return f"is ': ' missing after the key in line {line - 1}?"
    found = (remedy for words, remedy in _REMEDIES.items() if words in problem)
    return next(found, "fix this line or the one before")


def _remedy_in_brackets(error: yaml.MarkedYAMLError, written: str) -> str:
    if "${" in written:
        return 'inside {…} and […], put "${…}" in double quotes'
    opened = error.context_mark
    where = (
        "" if opened is None or opened.line + 1 == _line(error) else f" from line {opened.line + 1}"
    )
    return f"a comma, a quote or a closing bracket is missing{where} up to here"


def _remedy_after_the_end(lines: list[str]) -> str:
    if any(line.rstrip() == "..." for line in lines):
        return "remove what follows the end of the document, '...'"
    return 'write "key: value" lines, as in config.example.yaml'
