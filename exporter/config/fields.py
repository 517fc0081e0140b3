"""Pydantic types of single values in the YAML, and the base class of its mappings.

`values` parses the text of a value; the JSON Schema of each type is here. Every scalar, even a
number, arrives as text or None. Pydantic itself parses `Count`, `Rate` and `Switch`, which need
only a JSON Schema here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ssl import TLSVersion
from typing import Annotated, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, WithJsonSchema
from pydantic_core import PydanticKnownError

from exporter.config import values
from exporter.config.no_proxy import no_proxy
from exporter.model import MAX_LABEL_LENGTH


class StrictMapping(BaseModel):
    """Unknown keys are errors. No error shows a value, since it may be a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def requires_value(model: type[BaseModel]) -> BeforeValidator:
    """Refuses an optional key without a value, such as `discovery:`."""

    def value(found: object) -> object:
        if found is None:
            raise PydanticKnownError("model_type", {"class_name": model.__name__})
        return found

    return BeforeValidator(value, json_schema_input_type=model)


T = TypeVar("T")
"""A value's type, with or without None: None is the default of a key, never a value in the YAML."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What docs/configuration.md calls the type; pydantic ignores it."""

    name: str


_VARIABLE = r"\$\{"
_ANY_PATTERN = r"[\s\S]"
_SCALAR = ["string", "number", "boolean"]  # what a YAML parser may make of literal text


def _read(reader: Callable[[str], object]) -> BeforeValidator:
    """Parses text with `reader` and refuses everything else."""

    def value(given: object) -> object:
        if not isinstance(given, str):
            raise PydanticKnownError("string_type")
        return reader(given)

    return BeforeValidator(value)


def empty_if_none(given: object) -> object:
    """An empty mapping for a key without a value."""
    return {} if given is None else given


def _literal(pattern: str, **more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": _SCALAR, "pattern": f"{pattern}|{_VARIABLE}", **more})


def _text(pattern: str) -> dict[str, object]:
    return {"type": "string", "pattern": f"{pattern}|{_VARIABLE}"}


def _either(plain: dict[str, object], pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [plain, _text(pattern)]})


Duration = Annotated[
    T, _read(values.duration), _either({"const": 0}, values.DURATION_PATTERN), Kind("duration")
]
BaseUrl = Annotated[
    T, _read(values.base_url), WithJsonSchema(_text(values.BASE_URL_PATTERN)), Kind("URL")
]
Name = Annotated[T, _read(values.name), _literal(values.NAME_PATTERN), Kind("string")]
BucketId: TypeAlias = Annotated[
    str,
    _read(values.bucket_id),
    _literal(values.NAME_PATTERN, maxLength=MAX_LABEL_LENGTH, **{"not": {"enum": [".", ".."]}}),
    Kind("string"),
]
Credentials: TypeAlias = Annotated[
    SecretStr | None,
    _read(values.token),
    _literal(values.VISIBLE_ASCII_PATTERN, writeOnly=True),
    Kind("secret"),
]
Email: TypeAlias = Annotated[
    str, _read(values.email), WithJsonSchema(_text(values.EMAIL_PATTERN)), Kind("string")
]
Password: TypeAlias = Annotated[
    SecretStr | None, _read(values.password), _literal(_ANY_PATTERN, writeOnly=True), Kind("secret")
]
Host: TypeAlias = Annotated[
    str | None, _read(values.host), _literal(values.HOST_PATTERN), Kind("string")
]
ProxyUrl: TypeAlias = Annotated[
    SecretStr | None,
    _read(values.proxy_url),
    WithJsonSchema({**_text(values.PROXY_URL_PATTERN), "writeOnly": True}),
    Kind("URL"),
]
TlsVersion: TypeAlias = Annotated[
    TLSVersion | None,
    _read(values.tls_version),
    WithJsonSchema(_text(values.TLS_VERSION_PATTERN)),
    Kind("string"),
]
NoProxy: TypeAlias = Annotated[str | None, _read(no_proxy), _literal(r"[^\s,]"), Kind("string")]
FilePath: TypeAlias = Annotated[
    str | None, _read(values.name), _literal(values.NAME_PATTERN), Kind("path")
]
FilePattern: TypeAlias = Annotated[
    str, _read(values.name), _literal(values.NAME_PATTERN), Kind("path")
]
Regex: TypeAlias = Annotated[
    re.Pattern[str], _read(values.regex), _literal(_ANY_PATTERN), Kind("regular expression")
]
Size: TypeAlias = Annotated[
    int,
    _read(values.size),
    _either({"type": "integer", "minimum": 1}, values.SIZE_PATTERN),
    Kind("size"),
]
Count: TypeAlias = Annotated[
    int, _either({"type": "integer", "minimum": 1}, "^[0-9]+$"), Kind("integer")
]
Rate: TypeAlias = Annotated[
    float,
    _either({"type": "number", "exclusiveMinimum": 0}, r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"),
    Kind("number"),
]
Switch: TypeAlias = Annotated[bool, _either({"type": "boolean"}, "^(true|false)$"), Kind("boolean")]

_LABEL_NAME = {
    "pattern": values.LABEL_NAME_PATTERN,
    "not": {
        "anyOf": [
            {"pattern": "^__"},
            {
                "enum": sorted(
                    values.EXPORTER_LABELS | values.TARGET_LABELS | values.PROMETHEUS_LABELS
                )
            },
        ]
    },
}
Labels: TypeAlias = Annotated[
    dict[Annotated[str, _read(values.label_name)], Annotated[str, _read(values.label_value)]],
    BeforeValidator(empty_if_none),
    WithJsonSchema(
        {
            "type": ["object", "null"],
            "propertyNames": _LABEL_NAME,
            "additionalProperties": {"type": _SCALAR},
        }
    ),
    Kind("mapping of strings"),
]
