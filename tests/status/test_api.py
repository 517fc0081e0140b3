"""`/api/v1/status` over a real socket, validated against its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exporter.model import ApiError, Bucket, DayStats, Node, Reason
from exporter.polling.targets import HISTORY_LENGTH
from exporter.simulator.data_faults import HOSTILE
from exporter.status.api import PATH
from exporter.status.filters import PAGE_SIZE
from exporter.status.pages import REFRESH_SECONDS
from exporter.status.snapshot import AccountStatus, ConfigStatus, DiscoveryStatus
from exporter.status.state import Health
from tests.harness.fakes import NOON, after, failure, reading
from tests.status.snapshots import PROCESS, START, FixedSnapshot
from tests.status.test_pages import SNAPSHOT, crowd, held, snapshot_of, visiting

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "status.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(
    SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)


async def status(
    snapshot: FixedSnapshot = SNAPSHOT, query: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The response, validated against the schema."""
    async with visiting(snapshot) as client:
        response = await client.get(PATH, params=query)
    assert response.status_code == 200
    document: dict[str, Any] = response.json()
    VALIDATOR.validate(document)
    return document


def rich_snapshot() -> FixedSnapshot:
    """A snapshot with a value for every field."""
    shown = Node("192.0.2.9", "h", "1", "OFFLINE", 0.5, 0.1, 0.2, NOON - 60)
    bucket = Bucket("main", "b1", "media", {"team": "studio"}, "S3", "eu", "w1")
    yesterday = DayStats(after(START, -86400).day, (shown,))
    rich = held(bucket, reading(START, shown), failure(after(START, 5), Reason.NOT_FOUND))
    rich = rich._replace(
        state=replace(rich.state, previous_day=yesterday),
        due=START.monotonic + 65,
        is_running=True,
    )
    fault = ApiError(Reason.FORBIDDEN, "HTTP 403: no")
    return FixedSnapshot(
        (rich,),
        now=after(START, 10),
        process=replace(PROCESS, config=ConfigStatus(NOON - 60, NOON - 5, "line 3: no")),
        accounts=(
            AccountStatus("main", NOON + 20, NOON + 60, DiscoveryStatus(True, 3, START, fault)),  # noqa: FBT003 - was_tried
        ),
    )


async def test_everything_is_in_it() -> None:
    """The JSON has all data on configuration, account, bucket, nodes and polls, in base units."""
    document = await status(rich_snapshot())
    assert document["config"] == {
        "last_reload_successful": False,
        "loaded": "2024-01-15T11:59:00.000Z",
        "refused": "2024-01-15T11:59:55.000Z",
        "problems": "line 3: no",
    }
    (account,), (bucket,) = document["accounts"], document["buckets"]
    assert account == {
        "name": "main",
        "buckets": 1,
        "paused_until": "2024-01-15T12:00:20.000Z",
        "token_expiry": "2024-01-15T12:01:00.000Z",
        "discovery": {
            "tried": True,
            "up": False,
            "buckets": 3,
            "last_success": "2024-01-15T12:00:00.000Z",
            "reason": "forbidden",
            "message": "HTTP 403: no",
        },
    }
    said = {name: bucket[name] for name in ("reason", "meaning", "remedy", "message")}
    assert said == {
        "reason": "not_found",
        "meaning": "HTTP 404",
        "remedy": "check the bucket ID, and whether the bucket was deleted",
        "message": "because of not_found",
    }
    assert bucket["next_poll"] == "2024-01-15T12:01:05.000Z"
    assert bucket["polling"] is True
    assert bucket["last_success"] == "2024-01-15T12:00:00.000Z"
    assert bucket["last_poll"] == "2024-01-15T12:00:05.000Z"
    assert bucket["nodes"] == [
        {
            "ip": "192.0.2.9",
            "host": "h",
            "status": "OFFLINE",
            "version": "1",
            "uptime_ratio": 0.5,
            "latency_average_seconds": 0.1,
            "latency_last_seconds": 0.2,
            "last_updated": "2024-01-15T11:59:00.000Z",
        }
    ]
    assert bucket["previous_day"]["day"] == "2024-01-14"
    assert bucket["previous_day"]["nodes"][0]["uptime_ratio"] == 0.5
    assert bucket["polls"][0]["ended"] == "2024-01-15T11:59:00.000Z"


async def test_summary_is_of_all_buckets() -> None:
    """The summary counts all buckets, whatever the filter; failing buckets are listed first."""
    for query in ({}, {"bucket_id": "b1"}, {"state": "up"}):
        document = await status(query=query)
        summary = document["summary"]
        assert summary["buckets"] == 2
        assert [summary[health.value] for health in Health] == [1, 0, 0, 1]
        assert summary["reasons"] == {"tls": 1}
        assert (summary["nodes"], summary["nodes_not_online"]) == (1, 0)
    assert [each["id"] for each in (await status())["buckets"]] == ["b2", "b1"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"bucket_id": "b1"}, ["b1"]),
        ({"state": "failing"}, ["b2"]),
        ({"account": "main"}, ["b1"]),
        ({"node": "ONLINE"}, ["b1"]),
        ({"q": "backups"}, ["b2"]),
        ({"q": "nonesuch"}, []),
        ({"page": "7"}, ["b2", "b1"]),
    ],
)
async def test_queries_choose(query: Mapping[str, str], ids: list[str]) -> None:
    """A query selects one bucket by its ID, or the buckets that match the pages' filters."""
    assert [each["id"] for each in (await status(query=query))["buckets"]] == ids


@pytest.mark.parametrize("query", [{"bucket_id": "gone"}, {"bucket_id": ""}])
async def test_unknown_bucket(query: dict[str, str]) -> None:
    """The ID of a bucket that is not polled gets 404."""
    async with visiting() as client:
        response = await client.get(PATH, params=query)
    assert response.status_code == 404
    assert response.json() == {"error": "bucket not found"}


async def test_stale_values_are_omitted() -> None:
    """A stale bucket has no nodes and no day, and its reason is overdue."""
    (fresh,) = (await status(SNAPSHOT.later(299.9), {"bucket_id": "b1"}))["buckets"]
    (stale,) = (await status(SNAPSHOT.later(300), {"bucket_id": "b1"}))["buckets"]
    assert (fresh["stale"], len(fresh["nodes"]), fresh["day"]) == (False, 1, "2024-01-15")
    assert (stale["stale"], stale["nodes"], stale["day"]) == (True, [], None)
    assert stale["reason"] == "overdue"
    assert stale["message"] == ""


async def test_headers_and_methods() -> None:
    """The response is JSON that is not cached; HEAD has no body, and POST gets 405."""
    async with visiting() as client:
        got, head, post = (
            await client.get(PATH),
            await client.head(PATH),
            await client.post(PATH),
        )
    assert got.headers["Content-Type"] == head.headers["Content-Type"]
    assert got.headers["Content-Type"].startswith("application/json")
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Cache-Control"] == "no-store"
    assert (head.status_code, head.content) == (200, b"")
    assert (post.status_code, post.headers["Allow"]) == (405, "GET,HEAD")


async def test_large_answers_are_whole() -> None:
    """A response with 2,000 buckets is complete, with and without gzip."""
    async with visiting(crowd(2000)) as client:
        plain = await client.get(PATH)
        small = await client.get(PATH, headers={"Accept-Encoding": "gzip"})
    assert small.headers["Content-Encoding"] == "gzip"
    ids = [each["id"] for each in plain.json()["buckets"]]
    assert len(set(ids)) == 2000
    assert [each["id"] for each in small.json()["buckets"]] == ids
    VALIDATOR.validate(plain.json())


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_texts(text: str) -> None:
    """Any text from the API or the configuration is unchanged in the JSON."""
    document = await status(snapshot_of(text))
    names = [each["name"] for each in document["buckets"]]
    assert names == [text[:256] or "x"] * 2


async def test_empty_exporter() -> None:
    """Without buckets the response is still a valid document."""
    assert (await status(FixedSnapshot()))["buckets"] == []


def test_documented_example_is_true_to_the_schema() -> None:
    """The example response in docs/status.md matches the schema."""
    (example,) = re.findall(r"```json\n(.*?)```", (DOCS / "status.md").read_text(), re.DOTALL)
    VALIDATOR.validate(json.loads(example))


def test_documented_numbers_are_the_codes() -> None:
    """The numbers of polls, buckets per page and seconds between refreshes are as documented."""
    text = " ".join((DOCS / "status.md").read_text().split())
    assert f"The last {HISTORY_LENGTH} polls" in text
    assert f"a page of {PAGE_SIZE} buckets" in text
    assert f"every {REFRESH_SECONDS} seconds" in text


def test_schema_names_what_there_is() -> None:
    """The schema has the code's reasons, states and limits, and allows no other properties."""
    definitions = SCHEMA["$defs"]
    assert definitions["bucket"]["properties"]["reason"]["enum"] == [*map(str, Reason), None]
    assert definitions["bucket"]["properties"]["state"]["enum"] == list(map(str, Health))
    assert definitions["bucket"]["properties"]["polls"]["maxItems"] == HISTORY_LENGTH
    assert SCHEMA["properties"]["summary"]["properties"]["reasons"]["propertyNames"]["enum"] == [
        *map(str, Reason)
    ]
    for part in (SCHEMA, *definitions.values()):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
