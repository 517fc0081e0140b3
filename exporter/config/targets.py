"""Which buckets an account polls, as the YAML says it: listed ones, and how others are found.

One pydantic model per mapping; what a bucket file holds is here, too. That no bucket stands in
two places is seen in `rules`.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter

from exporter.config.fields import BucketId, Duration, Labels, Name, Regex
from exporter.config.mapping import StrictMapping


class BucketDocument(StrictMapping):
    """A bucket to poll. An id alone, without a mapping, is the short form."""

    id: BucketId = Field(description="The bucket's id in the Flashback API.")
    name: Name[str | None] = Field(
        None, description="A name for people, shown by flashback_bucket_info. Default: the id."
    )
    labels: Labels = Field(
        default_factory=dict, description="Labels of your own for flashback_bucket_info."
    )


def _id_as_mapping(given: object) -> object:
    return {"id": given} if isinstance(given, str) else given


BucketEntry: TypeAlias = Annotated[
    BucketDocument,
    BeforeValidator(_id_as_mapping, json_schema_input_type=BucketId | BucketDocument),
]


def _nothing_as_list(given: object) -> object:
    return [] if given is None else given


BUCKET_FILE: TypeAdapter[list[BucketDocument]] = TypeAdapter(
    Annotated[list[BucketEntry], BeforeValidator(_nothing_as_list)],
    config=ConfigDict(hide_input_in_errors=True),
)
"""What a bucket file holds: entries as under `buckets`, or nothing yet."""


class DiscoveryDocument(StrictMapping):
    """How buckets are found that nobody listed. Every key is optional."""

    workspace_id: Name[str | None] = Field(
        None, description="Only the buckets of this workspace. Default: all that the account has."
    )
    refresh_interval: Duration[float] = Field(
        "10m",
        validate_default=True,
        ge=10,
        description="How often the API is asked for the list of buckets. At least 10s.",
    )
    include: list[Regex] = Field(
        [],
        description="Regular expressions: only buckets whose whole name matches one of them. "
        "Default: all.",
    )
    exclude: list[Regex] = Field(
        [],
        description="Regular expressions: no bucket whose whole name matches one of them. "
        "Wins over include.",
    )
