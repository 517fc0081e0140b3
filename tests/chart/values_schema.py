"""The generated parts of values.schema.json: the exporter's configuration, the rules' settings.

Helm reads draft-07 and Go's regular expressions. It changes numbers, so an id must be a text here,
while the exporter takes it literally.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_NULL: Schema = {"type": "null"}
_LITERAL = ["string", "number", "boolean"]
_ENTRIES = ("AccountDocument", "BucketDocument")  # of lists, where null would mean nothing
_LOOK_AHEAD = "(?=[0-9])"  # that a duration has a digit: Go knows no look-ahead


def with_rules(values: Schema, rules: Schema) -> Schema:
    """The values' schema with what may be changed about the rules."""
    for name, each in rules.items():
        values["properties"]["rules"]["properties"][name] = or_null(with_nulls(each))
    return values


def with_exporter(values: Schema, exporter: Schema) -> Schema:
    """The values' schema with the definitions of the exporter's, each under its own name."""
    document = {key: exporter[key] for key in exporter if key not in ("$schema", "$defs")}
    # Without an account, the chart writes the one of its short form.
    document.pop("required")
    document["properties"]["accounts"].pop("minItems")
    theirs = {"Document": document, **exporter["$defs"]}
    own = {name: each for name, each in values["definitions"].items() if name[0].islower()}
    draft7 = {name: _draft7(each) for name, each in theirs.items()}
    nullable = {name: or_null(each) for name, each in draft7.items() if name not in _ENTRIES}
    found: Schema = with_nulls({**values, "definitions": own | draft7 | nullable})
    return found


def with_nulls(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """The same, but each key that a mapping may lack may also be null.

    Helm hands on a null that unsets a value of another file, and templates leave the key out.
    """
    if isinstance(schema, list):
        return [with_nulls(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: with_nulls(value) for key, value in schema.items()}
    if "object" in found.get("type", ""):  # not a condition, which has no type
        required = found.get("required", [])
        for keyword in found.keys() & {"properties", "patternProperties"}:
            found[keyword] = {
                name: each if name in required else or_null(each)
                for name, each in found[keyword].items()
            }
        if isinstance(found.get("additionalProperties"), dict):
            found["additionalProperties"] = or_null(found["additionalProperties"])
    return found


def or_null(schema: Any) -> Any:  # noqa: ANN401 - a schema, or False for what must not be there
    """A schema that takes null, too. A reference stays one: its definition takes null itself."""
    match schema:
        case {"type": str() | list() as types}:
            listed = [types] if isinstance(types, str) else types
            found = schema | {"type": list(dict.fromkeys([*listed, "null"]))}
            if "oneOf" in found:  # of keys, all of which a null would seem to have
                found |= {"if": {"type": "object"}, "then": {"oneOf": found.pop("oneOf")}}
            return found
        case {"enum": list(values)}:
            return schema | {"enum": [*(each for each in values if each is not None), None]}
        case {"anyOf": list(options)} if _NULL not in options:
            return schema | {"anyOf": [*options, _NULL]}
    return schema


def _draft7(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """The same in draft-07, with literal texts as texts."""
    if isinstance(schema, list):
        return [_draft7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "required" in schema and "type" not in schema:
        schema = schema | _present(*schema["required"], **schema.get("properties", {}))
    if _may_hold_a_secret(schema):  # Helm 4 quotes what does not match; templates say it without
        schema = {key: each for key, each in schema.items() if key != "pattern"} | {"minLength": 1}
    match schema.get("anyOf"):
        case [{"$ref": str(reference)}, {"type": "null"}]:  # Helm would say what each of them wants
            return {"$ref": _value("$ref", reference)}
    found = {key: _value(key, value) for key, value in schema.items()}
    if "dependentRequired" in found:
        needs = found.pop("dependentRequired")
        found["allOf"] = [
            {"if": _present(key), "then": _present(*others)} for key, others in needs.items()
        ]
    if "propertyNames" in found:
        found |= _by_name(found.pop("propertyNames"), found["additionalProperties"])
    if found.get("type") == _LITERAL:
        found["type"] = "string"
    return found


def _may_hold_a_secret(schema: Schema) -> bool:
    return bool(schema.get("writeOnly")) or "[Hh][Tt][Tt][Pp]" in str(schema.get("pattern"))


def _by_name(names: Schema, values: Schema) -> Schema:
    """The allowed keys without propertyNames, for which Helm 4 names the wrong key."""
    taken: list[Schema] = names.get("not", {}).get("anyOf", [])
    return {
        "properties": {name: False for each in taken for name in each.get("enum", [])},
        "patternProperties": {names["pattern"]: values}
        | {each["pattern"]: False for each in taken if "pattern" in each},
        "additionalProperties": False,
    }


def _present(*names: str, **properties: Schema) -> Schema:
    """Keys that are there and not null; null counts as absent."""
    not_null = {name: properties.get(name, {}) | {"not": _NULL} for name in names}
    return {"required": list(names), "properties": properties | not_null}


def _value(key: str, value: Any) -> Any:  # noqa: ANN401 - as above
    if key == "$ref":
        return value.replace("#/$defs/", "#/definitions/")
    if key == "pattern" and isinstance(value, str):
        return value.replace(_LOOK_AHEAD, "")
    return _draft7(value)
