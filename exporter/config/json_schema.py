"""The JSON Schema of the configuration file, for editors, from the models in `schema`.

`python -m exporter.config.json_schema > config.schema.json` regenerates the file.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from exporter.config.schema import Document


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, without titles and null defaults, which clutter an editor."""

    def field_title_should_be_set(self, schema: object) -> bool:
        del schema
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Omits a default of None: the description states the actual default."""
        described = super().default_schema(schema)
        return {
            key: described[key] for key in described if (key, described[key]) != ("default", None)
        }


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the configuration file."""
    described = Document.model_json_schema(schema_generator=_Generator)
    return {"$schema": _Generator.schema_dialect, **described}


def schema_text() -> str:
    """The text of `config.schema.json`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
