"""What the YAML may say: keys, types, defaults and their meaning, one pydantic model per mapping.

The descriptions are the documentation that editors show (`schema`). What a single value may be
is in `fields`; rules that need more than one mapping, and the words for errors, live elsewhere.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from exporter.config.fields import (
    BaseUrl,
    BucketId,
    Count,
    Credentials,
    Duration,
    Labels,
    Name,
    Rate,
    Size,
    Switch,
    empty_if_none,
)


def _id_as_mapping(given: object) -> object:
    return {"id": given} if isinstance(given, str) else given


class _Mapping(BaseModel):
    """What all mappings share: other keys are errors, and no error repeats a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class GlobalDocument(_Mapping):
    """What holds for all accounts. Every key is optional."""

    base_url: BaseUrl[str] = Field(
        "https://backend.flashback.tech",
        validate_default=True,
        description="Where the Flashback API is: https://host[:port][/path]. "
        "Plain http:// only for a loopback host, or with allow_http.",
    )
    poll_interval: Duration[float] = Field(
        "1m",
        validate_default=True,
        ge=5,
        description="How often each bucket is asked for. At least 5s.",
    )
    poll_timeout: Duration[float | None] = Field(
        None,
        gt=0,
        description="How long one attempt may take. At most poll_interval. "
        "Default: the smaller of 10s and poll_interval.",
    )
    stale_after: Duration[float | None] = Field(
        None,
        description="How long the readings of the last good poll are shown. At least "
        "2 * poll_interval + poll_timeout. Default: the larger of 5m and that.",
    )
    recheck_interval: Duration[float] = Field(
        "5m",
        validate_default=True,
        ge=1,
        description="The longest wait before a bucket is asked for again after a 400, 401, 403 "
        "or 404. At least 1s; where poll_interval is longer, that counts.",
    )
    rollover_grace: Duration[float] = Field(
        "10m",
        validate_default=True,
        lt=12 * 3600,
        description="How long around 00:00 UTC the API may be of another day. "
        "Less than 12h; 0 for none.",
    )
    max_concurrent_requests: Count = Field(
        16, gt=0, description="How many requests this process has open at once."
    )
    max_requests_per_second: Rate = Field(
        20,
        validate_default=True,
        gt=0,
        allow_inf_nan=False,
        description="How many requests this process starts in a second, on average.",
    )
    max_nodes_per_bucket: Count = Field(
        1000, gt=0, description="An answer with more nodes than this is a failed poll."
    )
    max_response_bytes: Size = Field(
        "8MiB",
        validate_default=True,
        gt=0,
        description="A longer answer is a failed poll. Units: B, KiB, MiB, GiB.",
    )
    known_statuses: list[Name[str]] = Field(
        ["ONLINE", "OFFLINE", "DISCONNECTED"],
        description="The values of the label status; any other status counts as UNKNOWN.",
        json_schema_extra={"uniqueItems": True},
    )


class AuthorizationDocument(_Mapping):
    """Where the bearer token comes from: exactly one of the two keys."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["credentials"]}, {"required": ["credentials_file"]}]
        }
    )

    credentials: Credentials = Field(
        None,
        description='The token itself, or better a variable: "${FLASHBACK_TOKEN}", '
        "in quotes where it stands in {…}.",
    )
    credentials_file: Name[str | None] = Field(
        None,
        description="A file that holds the token, relative to this one. "
        "White space around the token is trimmed.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.credentials is None) == (self.credentials_file is None):
            raise ValueError("write exactly one of credentials and credentials_file")
        return self


class BucketDocument(_Mapping):
    """A bucket to poll. An id alone, without a mapping, is the short form."""

    id: BucketId = Field(description="The bucket's id in the Flashback API.")
    name: Name[str | None] = Field(
        None, description="A name for people, shown by flashback_bucket_info. Default: the id."
    )
    labels: Labels = Field(
        default_factory=dict, description="Labels of your own for flashback_bucket_info."
    )


class Overrides(_Mapping):
    """What an account may say in place of the global settings."""

    base_url: BaseUrl[str | None] = Field(None, description="In place of the global one.")
    allow_http: Switch = Field(
        default=False,
        description="Send the token in clear text where base_url says http://. "
        "For test networks only.",
    )
    poll_interval: Duration[float | None] = Field(
        None, ge=5, description="In place of the global one."
    )
    stale_after: Duration[float | None] = Field(None, description="In place of the global one.")


class AccountDocument(Overrides):
    """A user of the API and the buckets to poll in that user's name."""

    name: Name[str] = Field(description="The value of the label account. No two are equal.")
    authorization: AuthorizationDocument = Field(
        description="Where the account's bearer token comes from."
    )
    buckets: list[
        Annotated[
            BucketDocument,
            BeforeValidator(_id_as_mapping, json_schema_input_type=BucketId | BucketDocument),
        ]
    ] = Field(
        min_length=1,
        description="The buckets to poll, each as its id or as a mapping. "
        "An id stands in one account only.",
    )


class Document(_Mapping):
    """The configuration of flashback-exporter."""

    model_config = ConfigDict(title="flashback-exporter")

    defaults: Annotated[
        GlobalDocument,
        BeforeValidator(empty_if_none, json_schema_input_type=GlobalDocument | None),
    ] = Field(
        default_factory=GlobalDocument, alias="global", description="What holds for all accounts."
    )
    accounts: list[AccountDocument] = Field(
        min_length=1, description="Whose buckets are polled. Each token has its own account."
    )


MAPPINGS: dict[str, type[BaseModel]] = {
    "": Document,
    "global": GlobalDocument,
    "accounts": AccountDocument,
    "authorization": AuthorizationDocument,
    "buckets": BucketDocument,
}
"""The mappings by the key above them; labels are not among them, since their keys are free."""

NOT_YET_SUPPORTED = frozenset(
    {
        *("login", "tls_config", "proxy_url", "proxy_from_environment"),
        *("bucket_files", "discovery"),
    }
)
"""The keys of an account that are promised for later versions."""


def keys(mapping: str) -> list[str]:
    """The keys that a mapping of `MAPPINGS` may have, as the YAML spells them."""
    fields = MAPPINGS[mapping].model_fields
    return [field.alias or name for name, field in fields.items()]
