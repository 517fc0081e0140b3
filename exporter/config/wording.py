"""What pydantic found, in words that say what to do.

One table from pydantic's kinds of errors to our words; no value of pydantic's own messages, and
no value that the file does not show, gets into them.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from exporter.config.document import MAPPINGS, keys
from exporter.config.problems import QUOTED_LENGTH, key_text, quoted
from exporter.config.quantities import duration_text

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from exporter.config.problems import Place
    from exporter.config.tree import Node, Tree

_WORDS = {
    "string_type": "this must be a text, not {kind}",
    "string_unicode": "this holds bytes that are no text: set the variable in UTF-8",
    "model_type": 'this must be a mapping (lines of "key: value"), not {kind}',
    "dict_type": 'this must be a mapping (lines of "key: value"), not {kind}',
    "list_type": 'this must be a list (lines of "- value"), not {kind}',
    "too_short": "this needs at least one entry: add one",
    "int_type": "this must be a whole number, not {kind}",
    "int_parsing": "{value} is not a whole number: write one, as 100",
    "int_parsing_size": "this number is too large: write a smaller one",
    "float_type": "this must be a number, not {kind}",
    "float_parsing": "{value} is not a number: write one, as 20 or 0.5",
    "finite_number": "{value} is not a number: write one, as 20 or 0.5",
    "bool_type": "this must be true or false, not {kind}",
    "bool_parsing": "{value} is neither true nor false: write one of them",
    "greater_than": "{value} is too little: write more than 0",
    "greater_than_equal": "{value} is too short: write {ge} or more",
    "less_than": "{value} is too long: write less than {lt}",
}
"""Our words by pydantic's kind of error; `greater_than_equal` and `less_than` bound durations."""

_NOTHING: dict[Place, str] = {
    ("model_type",): "the file is empty: start with accounts, as config.example.yaml does",
    ("model_type", "discovery"): 'this has no value: write "{}" for all buckets, or remove it',
}
"""What to do where nothing is written, by pydantic's kind of error and the key, if special."""

_EXAMPLES = {
    "accounts": "write the list of accounts, as config.example.yaml does",
    "email": 'add "email: " and the address of the user who logs in',
    "id": 'add "id: " and the bucket\'s id',
    "name": 'add "name: main", or any other name',
}
"""What to do about each required key that is missing."""


def report_shape(error: ValidationError, tree: Tree, *, within: str = "") -> None:
    """Report each of pydantic's errors, save where a value could not be made out before.

    `within` is the key of `MAPPINGS` for mappings that stand under no key of the tree.
    """
    for details in error.errors(include_url=False, include_input=False):
        place: Place = details["loc"]
        found, node = tree.nearest(place)
        if details["type"] == "extra_forbidden":
            tree.report.add(node.line, found[:-1], _unknown_key(found, within))
        elif details["type"] == "missing":
            key = str(place[-1])
            tree.report.add(node.line, found, f'the key "{key}" is missing: {_EXAMPLES[key]}')
        elif not tree.report.has(found):
            tree.report.add(node.line, found, _message(details, node))


def _message(details: ErrorDetails, node: Node) -> str:
    if node.value is None:
        key = (details["type"], *details["loc"][-1:])
        return _NOTHING.get(key, "this has no value: give it one, or remove it")
    context = details.get("ctx", {})
    words = _WORDS.get(details["type"]) or str(context["error"])
    bounds = {key: duration_text(context[key]) for key in ("ge", "lt") if key in context}
    return words.format(
        value=quoted(node.written),
        in_seconds=quoted(f"{node.written}s"),
        kind=_kind(node),
        **bounds,
    )


def _kind(node: Node) -> str:
    if isinstance(node.value, dict):
        return "a mapping"
    return "a list" if isinstance(node.value, list) else "a text"


def _unknown_key(place: Place, within: str) -> str:
    key = str(place[-1])
    above = next((step for step in reversed(place[:-1]) if isinstance(step, str)), within)
    return f"{key_text(key)} is unknown here: {_remedy(key, above)}"


def _remedy(key: str, above: str) -> str:
    known = keys(above)
    start = key.partition(":")[0]
    if start != key and start in known:
        return f'is a space missing after "{start}:"?'
    homes = [f'under "{home}"' if home else "at the top" for home in MAPPINGS if key in keys(home)]
    if homes:
        return f"it belongs {' or '.join(homes)}"
    if close := get_close_matches(key[:QUOTED_LENGTH], known, 1):
        return f'did you mean "{close[0]}"?'
    return f"the keys here are {', '.join(known)}"
