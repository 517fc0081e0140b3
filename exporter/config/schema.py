"""What the YAML may say: keys, types, defaults and their meaning, one pydantic model per mapping.

Descriptions and examples feed `config.schema.json` (`json_schema`) and docs/configuration.md
(`reference`), which shows a last sentence "Default: …" as the default. How an account reaches the
API is in `schema_auth`, single values in `fields`, rules that need several keys in `rules`.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from exporter.config.fields import (
    BaseUrl,
    BucketId,
    Count,
    Duration,
    FilePattern,
    Labels,
    Name,
    Rate,
    Regex,
    Size,
    StrictMapping,
    Switch,
    empty_if_none,
    requires_value,
)
from exporter.config.schema_auth import (
    AuthorizationDocument,
    LoginDocument,
    ProxyDocument,
    TlsDocument,
)
from exporter.model import Timing


class BucketDocument(StrictMapping):
    """A bucket to poll. The short form is the id alone, without a mapping."""

    id: BucketId = Field(
        description="The bucket's id in the Flashback API. An id may occur only once in the whole "
        "configuration.",
        examples=["65f1c0ffef"],
    )
    name: Name[str | None] = Field(
        None,
        description="The display name, in the label `name` of `flashback_bucket_info`. "
        "Default: the id.",
        examples=["media-eu"],
    )
    labels: Labels = Field(
        default_factory=dict,
        description="Additional labels of `flashback_bucket_info`. Labels of the exporter's own "
        "metrics, labels that Prometheus sets on targets (such as `job` or `namespace`), `le`, "
        "`quantile` and names that start with `__` are refused. Default: none.",
        examples=[{"team": "media"}],
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
"""The content of a bucket file: entries as under `buckets`, or nothing yet."""


class DiscoveryDocument(StrictMapping):
    """How the exporter discovers the account's buckets. Every key is optional."""

    workspace_id: Name[str | None] = Field(
        None,
        description="Discover only the buckets of this workspace. "
        "Default: all workspaces of the user.",
        examples=["65f1c0ffe0"],
    )
    refresh_interval: Duration[float] = Field(
        "10m",
        validate_default=True,
        ge=10,
        description="How often the list of buckets is requested. At least 10s.",
        examples=["10m"],
    )
    include: list[Regex] = Field(
        [],
        description="Poll only buckets whose name matches one of these Python regular expressions. "
        "An expression must match the whole name. Default: all.",
        examples=[["media-.*"]],
    )
    exclude: list[Regex] = Field(
        [],
        description="Do not poll buckets whose name matches one of these expressions, even if "
        "`include` matches. An expression must match the whole name. Default: none.",
        examples=[[".*-tmp"]],
    )


class GlobalDocument(StrictMapping):
    """Settings of all accounts and of the process. Every key is optional."""

    base_url: BaseUrl[str] = Field(
        "https://backend.flashback.tech",
        validate_default=True,
        description="The URL of the Flashback API: `https://host[:port][/path]`. `http://` is "
        "refused unless the host is a loopback address or the account sets `allow_http`.",
        examples=["https://flashback.example.com"],
    )
    poll_interval: Duration[float] = Field(
        "1m",
        validate_default=True,
        ge=5,
        description="How often each bucket is polled. Also the deadline of a poll, retries "
        "included. At least 5s.",
        examples=["30s"],
    )
    poll_timeout: Duration[float | None] = Field(
        None,
        gt=0,
        description="The timeout of one attempt; a poll makes up to three. At most "
        "`poll_interval`. Default: 10s, or `poll_interval` if that is shorter.",
        examples=["15s"],
    )
    stale_after: Duration[float | None] = Field(
        None,
        description="How long a bucket's node values are exposed after its last successful poll. "
        "At least `2 * poll_interval + poll_timeout`. Default: 5m, or "
        "`2 * poll_interval + poll_timeout` if that is longer.",
        examples=["10m"],
    )
    recheck_interval: Duration[float] = Field(
        "5m",
        validate_default=True,
        ge=1,
        description="The longest wait before a bucket is polled again after a 400, 401, 403 or "
        "404. The wait starts at `poll_interval` and doubles. A value below `poll_interval` is "
        "treated as `poll_interval`. At least 1s.",
        examples=["10m"],
    )
    rollover_grace: Duration[float] = Field(
        "10m",
        validate_default=True,
        lt=12 * 3600,
        description="How long before and after 00:00 UTC the API's day may differ from the "
        "exporter's. After 00:00, a bucket keeps its values for this time while the API lists no "
        "nodes, or only some. 0 turns this off. Less than 12h.",
        examples=["15m"],
    )
    max_concurrent_requests: Count = Field(
        16,
        gt=0,
        description="The maximum number of concurrent API requests of this process.",
        examples=[32],
    )
    max_requests_per_second: Rate = Field(
        20,
        validate_default=True,
        gt=0,
        allow_inf_nan=False,
        description="The maximum average rate at which this process starts API requests.",
        examples=[50],
    )
    max_nodes_per_bucket: Count = Field(
        1000,
        gt=0,
        description="A response with more nodes is a failed poll with the reason `too_many_nodes`.",
        examples=[2000],
    )
    max_response_bytes: Size = Field(
        "8MiB",
        validate_default=True,
        gt=0,
        description="A larger response body is a failed poll with the reason `too_large`. "
        "Units: B, KiB, MiB, GiB; a number alone is bytes.",
        examples=["16MiB"],
    )
    known_statuses: list[Name[str]] = Field(
        ["ONLINE", "OFFLINE", "DISCONNECTED"],
        description="The values of the label `status` of `flashback_node_status`. Any other status "
        "of the API is exposed as `UNKNOWN`.",
        examples=[["ONLINE", "OFFLINE", "DISCONNECTED", "MAINTENANCE"]],
        json_schema_extra={"uniqueItems": True},
    )


class Overrides(StrictMapping):
    """What an account may set instead of the global settings."""

    base_url: BaseUrl[str | None] = Field(
        None,
        description="The URL of this account's API. A new URL discards the account's values. "
        "Default: `global.base_url`.",
        examples=["https://flashback.example.com"],
    )
    allow_http: Switch = Field(
        default=False,
        description="Allow an `http://` `base_url`, over which the token is sent in clear text. "
        "For test networks only.",
        examples=[True],
    )
    poll_interval: Duration[float | None] = Field(
        None,
        ge=5,
        description="How often this account's buckets are polled. At least 5s. "
        "Default: `global.poll_interval`.",
        examples=["5m"],
    )
    stale_after: Duration[float | None] = Field(
        None,
        description="How long node values of this account are exposed after the last successful "
        "poll of their bucket. Default: `global.stale_after`.",
        examples=["15m"],
    )


class AccountDocument(ProxyDocument, Overrides):
    """A user of the API, and the buckets to poll as this user."""

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

    name: Name[str] = Field(
        description="The account's name, in the label `account`. Each name may occur only once.",
        examples=["main"],
    )
    authorization: Annotated[
        AuthorizationDocument | None, requires_value(AuthorizationDocument)
    ] = Field(
        None,
        description="The bearer token. Exactly one of `authorization` and `login` is required. "
        "Default: none.",
        examples=[{"credentials_file": "token"}],
    )
    login: Annotated[LoginDocument | None, requires_value(LoginDocument)] = Field(
        None,
        description="The user to log in with; the exporter renews the token. "
        "Exactly one of `authorization` and `login` is required. Default: none.",
        examples=[{"email": "ops@example.com", "password_file": "password"}],
    )
    tls_config: Annotated[TlsDocument | None, requires_value(TlsDocument)] = Field(
        None,
        description="TLS settings for an `https://` `base_url`. Default: none.",
        examples=[{"ca_file": "ca.pem"}],
    )
    buckets: list[BucketEntry] = Field(
        [],
        description="The buckets to poll, each an id or a mapping. At least one of `buckets`, "
        "`bucket_files` and `discovery` is required. Default: none.",
        examples=[["65f1c0ffee", {"id": "65f1c0ffef", "name": "media-eu"}]],
    )
    bucket_files: list[FilePattern] = Field(
        [],
        description="Files with more buckets: each is a YAML list with entries as in `buckets`. "
        "A pattern with `*`, `?` or `[…]` may match no file; a path without them must exist. "
        "Changed, new and removed files take effect within 5 seconds. Default: none.",
        examples=[["buckets/*.yaml"]],
    )
    discovery: Annotated[DiscoveryDocument | None, requires_value(DiscoveryDocument)] = Field(
        None,
        description="Discover the account's buckets through the API; `{}` polls all of them. "
        "Default: off.",
        examples=[{}],
    )


class Document(StrictMapping):
    """The configuration of flashback-exporter."""

    model_config = ConfigDict(title="flashback-exporter")

    defaults: Annotated[
        GlobalDocument,
        BeforeValidator(empty_if_none, json_schema_input_type=GlobalDocument | None),
    ] = Field(
        default_factory=GlobalDocument,
        alias="global",
        description="Settings of all accounts and of the process. Default: all defaults.",
        examples=[{"poll_interval": "30s"}],
    )
    accounts: list[AccountDocument] = Field(
        min_length=1,
        description="The accounts and their buckets. At least one.",
        examples=[
            [
                {
                    "name": "main",
                    "authorization": {"credentials_file": "token"},
                    "buckets": ["65f1c0ffee"],
                }
            ]
        ],
    )


def effective(defaults: GlobalDocument, overrides: Overrides) -> GlobalDocument:
    """The global settings, with the account's overrides."""
    own = {key: getattr(overrides, key) for key in ("base_url", "poll_interval", "stale_after")}
    return defaults.model_copy(update={key: own[key] for key in own if own[key] is not None})


def timing(settings: GlobalDocument) -> Timing:
    """The timing, with the defaults that depend on other keys."""
    stale_after = settings.stale_after
    return Timing(
        poll_interval=settings.poll_interval,
        poll_timeout=poll_timeout(settings),
        stale_after=max(300.0, min_stale_after(settings)) if stale_after is None else stale_after,
        recheck_interval=settings.recheck_interval,
        rollover_grace=settings.rollover_grace,
    )


def poll_timeout(settings: GlobalDocument) -> float:
    given = settings.poll_timeout
    return min(10.0, settings.poll_interval) if given is None else given


def min_stale_after(settings: GlobalDocument) -> float:
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
"""The mappings by the key above them, except `labels`, which may have any key."""


def keys(mapping: str) -> list[str]:
    """The keys of a mapping of `MAPPINGS`, as the YAML spells them."""
    fields = MAPPINGS[mapping].model_fields
    return [field.alias or name for name, field in fields.items()]
