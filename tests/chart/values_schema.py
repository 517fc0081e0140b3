"""The generated parts of values.schema.json: the exporter's configuration and the rule settings.

Helm supports draft-07 and Go's regular expressions. It changes numbers, so an id must be text here,
while the exporter takes it literally.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_NULL: Schema = {"type": "null"}
_LITERAL = ["string", "number", "boolean"]
_ENTRIES = ("AccountDocument", "BucketDocument")  # entries of lists, where null has no meaning
_LOOK_AHEAD = "(?=[0-9])"  # requires a digit in a duration; Go has no look-ahead


def with_rules(values: Schema, rules: Schema) -> Schema:
    """The values' schema with the schema of the rule settings."""
    for name, each in rules.items():
        values["properties"]["rules"]["properties"][name] = or_null(with_nulls(each))
    return values


def with_exporter(values: Schema, exporter: Schema) -> Schema:
    """The values' schema with the definitions of the exporter's schema."""
    document = {key: exporter[key] for key in exporter if key not in ("$schema", "$defs")}
    # Without accounts, the chart writes the one from its short form.
    document.pop("required")
    document["properties"]["accounts"].pop("minItems")
    theirs = {"Document": document, **exporter["$defs"]}
    own = {name: each for name, each in values["definitions"].items() if name[0].islower()}
    draft7 = {name: _draft7(each) for name, each in theirs.items()}
    nullable = {name: or_null(each) for name, each in draft7.items() if name not in _ENTRIES}
    found: Schema = with_nulls({**values, "definitions": own | draft7 | nullable})
    return found


def with_nulls(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """The same schema, in which each optional key of a mapping may also be null.

    Helm passes on a null that unsets a value of another file, and the templates omit the key.
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


def or_null(schema: Any) -> Any:  # noqa: ANN401 - a schema, or False for a forbidden key
    """A schema that also accepts null. A reference is unchanged: its definition accepts null."""
    match schema:
        case {"type": str() | list() as types}:
            listed = [types] if isinstance(types, str) else types
            found = schema | {"type": list(dict.fromkeys([*listed, "null"]))}
            if "oneOf" in found:  # of keys, where null would match every option
                found |= {"if": {"type": "object"}, "then": {"oneOf": found.pop("oneOf")}}
            return found
        case {"enum": list(values)}:
            return schema | {"enum": [*(each for each in values if each is not None), None]}
        case {"anyOf": list(options)} if _NULL not in options:
            return schema | {"anyOf": [*options, _NULL]}
    return schema


def _draft7(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """The same schema in draft-07, with literal values as strings."""
    if isinstance(schema, list):
        return [_draft7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "required" in schema and "type" not in schema:
        schema = schema | _present(*schema["required"], **schema.get("properties", {}))
    if _may_hold_a_secret(schema):  # Helm 4 quotes what does not match; the templates do not
        schema = {key: each for key, each in schema.items() if key != "pattern"} | {"minLength": 1}
    match schema.get("anyOf"):
        case [{"$ref": str(reference)}, {"type": "null"}]:  # Helm would report an error for each
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
    """The allowed keys without propertyNames, so that Helm 4 names the wrong key."""
    taken: list[Schema] = names.get("not", {}).get("anyOf", [])
    return {
        "properties": {name: False for each in taken for name in each.get("enum", [])},
        "patternProperties": {names["pattern"]: values}
        | {each["pattern"]: False for each in taken if "pattern" in each},
        "additionalProperties": False,
    }


def _present(*names: str, **properties: Schema) -> Schema:
    """A schema that requires these keys, not null."""
    not_null = {name: properties.get(name, {}) | {"not": _NULL} for name in names}
    return {"required": list(names), "properties": properties | not_null}


def _value(key: str, value: Any) -> Any:  # noqa: ANN401 - as above
    if key == "$ref":
        return value.replace("#/$defs/", "#/definitions/")
    if key == "pattern" and isinstance(value, str):
        return value.replace(_LOOK_AHEAD, "")
    return _draft7(value)
