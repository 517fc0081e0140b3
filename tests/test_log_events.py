"""docs/log-events.md lists exactly the events that the code can log, with their fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LEVELS = {"debug", "info", "warning", "error"}


class LogEvent(NamedTuple):
    """A logging call in the code."""

    name: str
    level: str
    fields: frozenset[str]


def test_documented_events_are_those_of_the_code() -> None:
    """The page lists each event's name, level and fields, once per event."""
    in_code: dict[tuple[str, str], frozenset[str]] = {}
    for path in sorted((ROOT / "exporter").rglob("*.py")):
        for event in _logged(ast.parse(path.read_text("utf-8"))):
            key = event.name, event.level
            in_code[key] = in_code.get(key, frozenset()) | event.fields
    assert len(in_code) > 20
    assert _documented() == in_code


def _documented() -> dict[tuple[str, str], frozenset[str]]:
    text = (ROOT / "docs" / "log-events.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", text, re.MULTILINE)
    found = {(name, level): frozenset(re.findall(r"`(\w+)`", cell)) for name, level, cell in rows}
    assert len(found) == len(rows), "an event is listed twice"
    return found


def _logged(module: ast.Module) -> Iterator[LogEvent]:
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _is_log_call(node.func):
                yield _event(node, function)


def _is_log_call(called: ast.expr) -> bool:
    if not (isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name)):
        return False
    assert called.value.id != "_log" or called.attr in LEVELS, ast.unparse(called)
    return called.value.id == "_log"


def _event(call: ast.Call, function: ast.AST) -> LogEvent:
    (name,) = call.args
    assert isinstance(name, ast.Constant), ast.unparse(call)
    assert isinstance(call.func, ast.Attribute)
    fields: set[str] = set()
    for keyword in call.keywords:
        fields |= {keyword.arg} if keyword.arg else _keys(keyword.value, function)
    return LogEvent(str(name.value), _written(call.func.attr), frozenset(fields))


def _written(level: str) -> str:
    """The level as it appears in log lines, spelled as in Prometheus."""
    return "warn" if level == "warning" else level


def _keys(spread: ast.expr, function: ast.AST) -> set[str]:
    """The keys of a dict that is spread into the call, assigned as a literal in the function."""
    literals = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Dict)
        and any(ast.unparse(target) == ast.unparse(spread) for target in node.targets)
    ]
    assert literals, f"say the fields of {ast.unparse(spread)} in the function that logs them"
    return {str(ast.literal_eval(key)) for each in literals for key in each.keys if key is not None}
