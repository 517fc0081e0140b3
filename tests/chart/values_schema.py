"""The parts of the chart's values.schema.json that come from elsewhere: the exporter's, the rules'.

Helm reads draft-07 and Go's regular expressions, and hands numbers on as it understands them: an id
must be a text here, which the exporter takes literally.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_LITERAL = ["string", "number", "boolean"]
_OR_NULL = re.compile(r'\{"\$ref": "#/\$defs/(\w+)"\}, \{"type": "null"\}')
_LOOK_AHEAD = "(?=[0-9])"  # that a duration has a digit: Go knows no look-ahead


def with_rules(values: Schema, rules: Schema) -> Schema:
    """The values' schema with what may be changed about the rules."""
    for name, each in rules.items():
        values["properties"]["rules"]["properties"][name] = each | {"type": ["object", "null"]}
    return values


def with_exporter(values: Schema, exporter: Schema) -> Schema:
    """The values' schema with the definitions of the exporter's, each under its own name."""
    document = {key: exporter[key] for key in exporter if key not in ("$schema", "$defs")}
    # Without an account, the chart writes the one of its short form.
    document.pop("required")
    document["properties"]["accounts"].pop("minItems")
    document["type"] = ["object", "null"]
    document["properties"]["accounts"]["type"] = ["array", "null"]
    theirs = {"Document": document, **exporter["$defs"]}
    for name in _OR_NULL.findall(json.dumps(theirs)):
        theirs[name] = theirs[name] | {"type": ["object", "null"]}
    own = {name: each for name, each in values["definitions"].items() if name[0].islower()}
    return {**values, "definitions": own | {name: _draft7(each) for name, each in theirs.items()}}


def _draft7(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """The same in draft-07, with literal texts as texts."""
    if isinstance(schema, list):
        return [_draft7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if _may_hold_a_secret(schema):  # Helm 4 quotes what does not match; templates say it without
        schema = {key: each for key, each in schema.items() if key != "pattern"} | {"minLength": 1}
    match schema.get("anyOf"):
        case [{"$ref": str(reference)}, {"type": "null"}]:  # Helm would say what each of them wants
            return {"$ref": _value("$ref", reference)}
    found = {_KEYWORDS.get(key, key): _value(key, value) for key, value in schema.items()}
    if "propertyNames" in found:
        found |= _by_name(found.pop("propertyNames"), found["additionalProperties"])
    if found.get("type") == _LITERAL:
        found["type"] = "string"
    return found


def _may_hold_a_secret(schema: Schema) -> bool:
    return bool(schema.get("writeOnly")) or "[Hh][Tt][Tt][Pp]" in str(schema.get("pattern"))


def _by_name(names: Schema, values: Schema) -> Schema:
    """Which keys an object may have, where Helm 4 names the right one: not by propertyNames."""
    taken: list[Schema] = names.get("not", {}).get("anyOf", [])
    return {
        "properties": {name: False for each in taken for name in each.get("enum", [])},
        "patternProperties": {names["pattern"]: values}
        | {each["pattern"]: False for each in taken if "pattern" in each},
        "additionalProperties": False,
    }


_KEYWORDS = {"dependentRequired": "dependencies"}


def _value(key: str, value: Any) -> Any:  # noqa: ANN401 - as above
    if key == "$ref":
        return value.replace("#/$defs/", "#/definitions/")
    if key == "pattern" and isinstance(value, str):
        return value.replace(_LOOK_AHEAD, "")
    return _draft7(value)
