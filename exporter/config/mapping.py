"""What all mappings in the YAML share, as pydantic models.

Which mappings there are is in `document`, `access` and `targets`.
"""

from __future__ import annotations

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticKnownError


class StrictMapping(BaseModel):
    """Other keys than its own are errors, and no error repeats a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def given(model: type[BaseModel]) -> BeforeValidator:
    """For a key that may be left out, but not without a value: None is its default alone."""

    def value(found: object) -> object:
        if found is None:
            raise PydanticKnownError("model_type", {"class_name": model.__name__})
        return found

    return BeforeValidator(value, json_schema_input_type=model)
