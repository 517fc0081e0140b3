"""The buckets, and their entries in the response of `GET /bucket`.

Pure and deterministic in (seed, bucket). Permissions belong to `api`, faults in the list to
`data_faults`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from exporter.simulator.world import Row, draw, pick, unix_to_text

WORKSPACE = "workspace-1"
ACCESS_KEY_PREFIX = "AKIASIMULATED"
SECRET_PREFIX = "SECRET-"  # noqa: S105 - not a secret, only a prefix
"""The prefix of all secrets, so that tests can search for leaks."""

_STORAGE = (
    ("S3", ("us-east-1", "eu-central-1", "eu-west-2")),
    ("GCS", ("us-east4", "europe-west3")),
    ("BLOB", ("eastus", "germanywestcentral")),
)
_NAMES = ("media-eu", "media-us", "backups", "logs", "invoices", "models")
_FIRST_CREATED, _YEAR = 1672531200, 365 * 86400  # 2023-01-01


@dataclass(frozen=True, slots=True)
class SimulatedBucket:
    """A bucket that exists."""

    id: str
    name: str = ""  # empty: the id
    workspace: str = WORKSPACE


Buckets: TypeAlias = Collection[str | SimulatedBucket] | None
"""The existing buckets, as ids or with details. None: any id exists."""


def existing(buckets: Buckets, seed: int) -> tuple[SimulatedBucket, ...]:
    """The buckets to list; six made-up ones if any id exists."""
    return _made_up(seed) if buckets is None else tuple(map(_bucket, buckets))


def found(buckets: Buckets, seed: int, bucket_id: str) -> SimulatedBucket | None:
    if buckets is None:
        made_up = (each for each in _made_up(seed) if each.id == bucket_id)
        return next(made_up, SimulatedBucket(bucket_id))
    return next((each for each in map(_bucket, buckets) if each.id == bucket_id), None)


def bucket_to_entry(seed: int, bucket: SimulatedBucket) -> Row:
    """The entry in `buckets`: fields in the vendor's order, secrets included."""
    storage, regions = pick(_STORAGE, seed, "storage", bucket.id)
    entry: Row = {
        "id": bucket.id,
        "name": bucket.name or bucket.id,
        "bucket": f"sim-{_hex(seed, 'bucket', bucket.id)}",
        "storageType": storage,
        "key": f"{ACCESS_KEY_PREFIX}{_hex(seed, 'key', bucket.id).upper()}",
        "secret": {
            part: f"{SECRET_PREFIX}{_hex(seed, 'secret', part, bucket.id)}"
            for part in ("key", "iv", "authTag", "message")
        },
        "endpoint": f"https://{storage.lower()}.storage.example",
        "region": pick(regions, seed, "region", bucket.id),
        "status": "OK",
        "createdAt": unix_to_text(_FIRST_CREATED + draw(seed, "created", bucket.id) * _YEAR),
        "workspaceId": bucket.workspace,
    }
    return {name: value for name, value in entry.items() if not _left_out(seed, bucket.id, name)}


def _left_out(seed: int, bucket_id: str, name: str) -> bool:
    """Whether an entry lacks this optional field."""
    optional = name in {"endpoint", "region", "status"}
    return optional and draw(seed, "left out", bucket_id, name) < 1 / 3


def _bucket(bucket: str | SimulatedBucket) -> SimulatedBucket:
    return SimulatedBucket(bucket) if isinstance(bucket, str) else bucket


@lru_cache
def _made_up(seed: int) -> tuple[SimulatedBucket, ...]:
    return tuple(
        SimulatedBucket(_hex(seed, "id", name), name, f"workspace-{1 + index % 2}")
        for index, name in enumerate(_NAMES)
    )


def _hex(*key: object) -> str:
    return f"{int(draw(*key) * 16**12):012x}"
