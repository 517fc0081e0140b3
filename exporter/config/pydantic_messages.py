"""Pydantic's errors as our messages, which say what to do.

A table maps pydantic's error types to our messages. Pydantic's own messages are not used, since
they may contain values that came from the environment.
"""

from __future__ import annotations

import re

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exporter.config.problems import Place, key_text, meant, misspelled, quoted
from exporter.config.schema import MAPPINGS, keys
from exporter.config.values import duration_text
from exporter.config.yaml_tree import Tree, YamlNode

_WORDS = {
    "string_type": "this must be a string, not {kind}",
    "string_unicode": "this is not valid UTF-8: fix the environment variable",
    "model_type": 'this must be a mapping (lines of "key: value"), not {kind}',
    "dict_type": 'this must be a mapping (lines of "key: value"), not {kind}',
    "list_type": 'this must be a list (lines of "- value"), not {kind}',
    "too_short": "this needs at least one entry: add one",
    "int_type": "this must be a whole number, not {kind}",
    "int_parsing": "{value} is not a whole number: write one such as 100",
    "int_parsing_size": "this number is too large: write a smaller one",
    "float_type": "this must be a number, not {kind}",
    "float_parsing": "{value} is not a number: write one such as 20 or 0.5",
    "finite_number": "{value} is not a number: write one such as 20 or 0.5",
    "bool_type": "this must be true or false, not {kind}",
    "bool_parsing": "{value} is not a boolean: write true or false",
    "greater_than": "{value} is too small: write more than 0",
    "greater_than_equal": "{value} is too short: write {ge} or more",
    "less_than": "{value} is too long: write less than {lt}",
}
"""Our messages by pydantic's error type. Only durations have `greater_than_equal`, `less_than`."""

_PLACEHOLDER = re.compile(r"\{(value|in_seconds|kind|ge|lt)\}")
_COLLECTIONS = {"model_type", "dict_type", "list_type"}

_BARE_VALUE = "this has no value: write one, in single quotes if it starts with #, & or !"

_NOTHING: dict[Place, str] = {
    ("model_type",): "the file is empty: write accounts, as in config.example.yaml",
    ("model_type", "discovery"): 'this has no value: write "{}" for all buckets, or remove it',
    ("string_type", "credentials"): _BARE_VALUE,
    ("string_type", "password"): _BARE_VALUE,
}
"""The messages for a key without a value, by pydantic's error type and the key."""

_EXAMPLES = {
    "accounts": "add the list of accounts, as in config.example.yaml",
    "email": 'add "email: " and the e-mail address of the user',
    "id": 'add "id: " and the bucket\'s id',
    "name": 'add "name: main", or any other name',
}
"""What to do when a required key is missing."""

_INSTEAD = {
    "accounts": 'start each entry with "- "',
    "authorization": 'write "{credentials_file: token}"',
    "bucket_files": 'write "[buckets/*.yaml]"',
    "buckets": 'write each id on its own line, after "- "',
    "discovery": 'write "{}" for all buckets',
    "labels": 'write "{team: media}"',
    "login": 'write "{email: ops@example.com, password_file: password}"',
}
"""What to write instead of a value of the wrong type, by key."""


def report_shape(error: ValidationError, tree: Tree, *, within: str = "") -> None:
    """Report each of pydantic's errors, except for values that already have a problem.

    `within` is the key in `MAPPINGS` of mappings without a key above, as in a bucket file.
    """
    for details in error.errors(include_url=False, include_input=False):
        place: Place = details["loc"]
        found, node = tree.nearest(place)
        if details["type"] == "extra_forbidden":
            tree.report.add(node.line, found[:-1], _unknown_key(found, within))
        elif details["type"] == "missing":
            _report_missing(str(place[-1]), found, tree)
        elif not tree.report.has(found):
            tree.report.add(node.line, found, _message(details, node))


def _report_missing(key: str, mapping: Place, tree: Tree) -> None:
    node = tree.nearest(mapping)[1]
    above = next((step for step in reversed(mapping) if isinstance(step, str)), "")
    there = node.value if isinstance(node.value, dict) else {}
    if above not in MAPPINGS or key not in misspelled(there, keys(above)):
        tree.report.add(node.line, mapping, f'the key "{key}" is missing: {_EXAMPLES[key]}')


def _message(details: ErrorDetails, node: YamlNode) -> str:
    if node.value is None:
        key = (details["type"], *details["loc"][-1:])
        return _NOTHING.get(key, "this has no value: give it one, or remove it")
    context = details.get("ctx", {})
    words = _WORDS.get(details["type"]) or str(context["error"])
    bounds: tuple[str, ...] = ("ge", "lt")
    values = {key: duration_text(context[key]) for key in bounds if key in context}
    values["value"] = quoted(node.written)
    values["in_seconds"] = quoted(f"{node.written}s")
    values["kind"] = _kind(node)
    said = _PLACEHOLDER.sub(lambda found: values[found[1]], words)
    return said + _example(details["type"], details["loc"], node)


def _example(kind: str, place: Place, node: YamlNode) -> str:
    """What to write instead of a value that should be a mapping or a list."""
    if kind not in _COLLECTIONS:
        return ""
    key = next((step for step in reversed(place) if isinstance(step, str)), "")
    start = node.written.partition(":")[0].partition(" ")[0]
    if key in MAPPINGS and start in keys(key):
        return f': is ": " missing after "{start}"?'
    if not place and kind == "list_type":  # only a bucket file must be a list
        return ": if this is not a bucket file, remove it from bucket_files"
    return f": {_INSTEAD[key]}" if place[-1:] == (key,) and key in _INSTEAD else ""


def _kind(node: YamlNode) -> str:
    if isinstance(node.value, dict):
        return "a mapping"
    return "a list" if isinstance(node.value, list) else "a string"


def _unknown_key(place: Place, within: str) -> str:
    key = str(place[-1])
    above = next((step for step in reversed(place[:-1]) if isinstance(step, str)), within)
    return f"{key_text(key)} is unknown here: {_remedy(key, above)}"


def _remedy(key: str, above: str) -> str:
    known = keys(above)
    start = key.partition(":")[0]
    if start != key and start in known:
        return f'is a space missing after "{start}:"?'
    homes = [
        f'under "{home}"' if home else "at the top level" for home in MAPPINGS if key in keys(home)
    ]
    if homes:
        return f"it belongs {' or '.join(homes)}"
    if close := meant(key, known):
        return f'did you mean "{close}"?'
    if (above, key) == ("authorization", "type"):
        return "remove it: every token is sent as Bearer"
    if key.startswith("x-"):
        return "put the anchor (&name) where its value is first used"
    return f"valid keys are {', '.join(known)}"
