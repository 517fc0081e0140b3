"""What the YAML may say: keys, types, defaults and their meaning, one pydantic model per mapping.

The descriptions are the documentation that editors show (`json_schema`). How an account gets to the
API is in `schema_auth`, what a single value may be is in `fields`; rules that need more than one
mapping, and the words for errors, live elsewhere.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from exporter.config.fields import (
    BaseUrl,
    BucketId,
    Count,
    Duration,
    Labels,
    Name,
    Rate,
    Regex,
    Size,
    StrictMapping,
    Switch,
    empty_if_none,
    given,
)
from exporter.config.schema_auth import (
    AuthorizationDocument,
    LoginDocument,
    ProxyDocument,
    TlsDocument,
)
from exporter.model import Timing


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


class GlobalDocument(StrictMapping):
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


class Overrides(StrictMapping):
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


class AccountDocument(ProxyDocument, Overrides):
    """A user of the API and the buckets to poll in that user's name."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["authorization"]}, {"required": ["login"]}],
            "anyOf": [
                {"required": ["buckets"], "properties": {"buckets": {"minItems": 1}}},
                {"required": ["bucket_files"], "properties": {"bucket_files": {"minItems": 1}}},
                {"required": ["discovery"]},
            ],
            "not": {
                "required": ["proxy_url", "proxy_from_environment"],
                "properties": {"proxy_from_environment": {"const": True}},
            },
            "dependentRequired": {"no_proxy": ["proxy_url"]},
        }
    )

    name: Name[str] = Field(description="The value of the label account. No two are equal.")
    authorization: Annotated[AuthorizationDocument | None, given(AuthorizationDocument)] = Field(
        None, description="Where the account's bearer token comes from. Or write login."
    )
    login: Annotated[LoginDocument | None, given(LoginDocument)] = Field(
        None, description="Log in for a token and renew it. In place of authorization."
    )
    tls_config: Annotated[TlsDocument | None, given(TlsDocument)] = Field(
        None, description="What is particular about TLS. Only with an https:// base_url."
    )
    buckets: list[BucketEntry] = Field(
        [],
        description="The buckets to poll, each as its id or as a mapping. "
        "An id stands in one account only.",
    )
    bucket_files: list[Name[str]] = Field(
        [],
        description="Files with more buckets, each file a YAML list of the form of buckets. "
        "Paths relative to this file, with *, ? and […] for files that may come and go.",
    )
    discovery: Annotated[DiscoveryDocument | None, given(DiscoveryDocument)] = Field(
        None, description="Find buckets by asking the API for them; {} takes all there are."
    )


class Document(StrictMapping):
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


def in_force(defaults: GlobalDocument, overrides: Overrides) -> GlobalDocument:
    """The global settings with the account's own in their place."""
    own = {key: getattr(overrides, key) for key in ("base_url", "poll_interval", "stale_after")}
    return defaults.model_copy(update={key: own[key] for key in own if own[key] is not None})


def timing(settings: GlobalDocument) -> Timing:
    """The timing that follows, with what was left open filled in."""
    stale_after = settings.stale_after
    return Timing(
        poll_interval=settings.poll_interval,
        poll_timeout=poll_timeout(settings),
        stale_after=max(300.0, least_stale_after(settings)) if stale_after is None else stale_after,
        recheck_interval=settings.recheck_interval,
        rollover_grace=settings.rollover_grace,
    )


def poll_timeout(settings: GlobalDocument) -> float:
    given = settings.poll_timeout
    return min(10.0, settings.poll_interval) if given is None else given


def least_stale_after(settings: GlobalDocument) -> float:
    return 2 * settings.poll_interval + poll_timeout(settings)


MAPPINGS: dict[str, type[BaseModel]] = {
    "": Document,
    "global": GlobalDocument,
    "accounts": AccountDocument,
    "authorization": AuthorizationDocument,
    "login": LoginDocument,
    "tls_config": TlsDocument,
    "buckets": BucketDocument,
    "discovery": DiscoveryDocument,
}
"""The mappings by the key above them; labels are not among them, since their keys are free."""


def keys(mapping: str) -> list[str]:
    """The keys that a mapping of `MAPPINGS` may have, as the YAML spells them."""
    fields = MAPPINGS[mapping].model_fields
    return [field.alias or name for name, field in fields.items()]
