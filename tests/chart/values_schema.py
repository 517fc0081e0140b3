"""The parts of the chart's values.schema.json that come from elsewhere: the exporter's, the rules'.

Helm reads draft-07 and Go's regular expressions, and hands numbers on as it understands them: an id
must be a text here, which the exporter takes literally.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_LITERAL = ["string", "number", "boolean"]
_LOOK_AHEAD = "(?=[0-9])"  # that a duration has a digit: Go knows no look-ahead


def with_rules(values: Schema, rules: Schema) -> Schema:
    """The values' schema with what may be changed about the rules."""
    values["properties"]["rules"]["properties"] |= rules
    return values


def with_exporter(values: Schema, exporter: Schema) -> Schema:
    """The values' schema with the definitions of the exporter's, each under its own name."""
    document = {key: exporter[key] for key in exporter if key not in ("$schema", "$defs")}
    # Without an account, the chart writes the one of its short form.
    document.pop("required")
    document["properties"]["accounts"].pop("minItems")
    theirs = {"Document": document, **exporter["$defs"]}
    own = {name: each for name, each in values["definitions"].items() if name[0].islower()}
    return {**values, "definitions": own | {name: _draft7(each) for name, each in theirs.items()}}


def _draft7(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """The same in draft-07, with literal texts as texts."""
    if isinstance(schema, list):
        return [_draft7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {_KEYWORDS.get(key, key): _value(key, value) for key, value in schema.items()}
    if found.get("type") == _LITERAL:
        found["type"] = "string"
    return found


_KEYWORDS = {"dependentRequired": "dependencies"}


def _value(key: str, value: Any) -> Any:  # noqa: ANN401 - as above
    if key == "$ref":
        return value.replace("#/$defs/", "#/definitions/")
    if key == "pattern" and isinstance(value, str):
        return value.replace(_LOOK_AHEAD, "")
    return _draft7(value)
