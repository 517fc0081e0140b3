"""The list of buckets, and which users may see which buckets."""

from dataclasses import replace
from typing import Any

import pytest

from exporter.simulator import (
    ACCESS_KEY_PREFIX,
    SECRET_PREFIX,
    WORKSPACE,
    SimulatedBucket,
    Simulator,
)
from tests.simulator.accounts import GUEST, NOON, OPS, Serving, Watch, as_user, office, stats

BUCKETS = (
    SimulatedBucket("a", "media", "w1"),
    SimulatedBucket("b", "backups", "w2"),
    SimulatedBucket("c", "logs", "w2"),
)
REQUIRED = {"id", "name", "bucket", "storageType", "key", "secret", "createdAt", "workspaceId"}
OPTIONAL = {"endpoint", "region", "status"}


def ids(body: Any) -> set[str]:  # noqa: ANN401 - any JSON
    """The bucket IDs in a list response."""
    return {entry["id"] for entry in body["buckets"]}


async def test_it_lists_buckets_as_the_vendor_does(serving: Serving) -> None:
    """Each bucket that exists has one entry, with the fields of the vendor's client."""
    async with serving(Simulator(now=Watch(), buckets=[*BUCKETS, "plain"])) as client:
        answer = await client.get("/bucket")
    body = answer.json()
    assert (answer.status_code, body.keys(), body["success"]) == (200, {"success", "buckets"}, True)
    entries = {entry["id"]: entry for entry in body["buckets"]}
    assert entries.keys() == {"a", "b", "c", "plain"}
    assert (entries["a"]["name"], entries["a"]["workspaceId"]) == ("media", "w1")
    assert (entries["plain"]["name"], entries["plain"]["workspaceId"]) == ("plain", WORKSPACE)
    for entry in body["buckets"]:
        assert REQUIRED <= entry.keys() <= REQUIRED | OPTIONAL
        assert entry["storageType"] in {"S3", "GCS", "BLOB"}
        assert "2023-01-01T00:00:00Z" <= entry["createdAt"] < "2024-01-02"
    assert [entry["createdAt"] for entry in body["buckets"]] == sorted(
        entry["createdAt"] for entry in body["buckets"]
    )


async def test_secrets_can_be_searched_for(serving: Serving) -> None:
    """Access keys and secrets start with constant prefixes, so that tests can search for them."""
    async with serving(Simulator(now=Watch(), buckets=BUCKETS)) as client:
        body = (await client.get("/bucket")).json()
    for entry in body["buckets"]:
        assert entry["key"].startswith(ACCESS_KEY_PREFIX)
        assert entry["secret"].keys() == {"key", "iv", "authTag", "message"}
        assert all(part.startswith(SECRET_PREFIX) for part in entry["secret"].values())


async def test_equal_simulators_list_alike(serving: Serving) -> None:
    """A bucket's entry depends on the seed, and not on other buckets or their order."""
    bodies: list[dict[str, Any]] = []
    many = [f"bucket-{number}" for number in range(40)]
    for seed, buckets in ((1, many), (1, list(reversed(many))), (2, many), (1, set(many[:5]))):
        async with serving(Simulator(now=Watch(), seed=seed, buckets=buckets)) as client:
            bodies.append((await client.get("/bucket")).json())
    assert bodies[0] == bodies[1] != bodies[2]
    assert all(entry in bodies[0]["buckets"] for entry in bodies[3]["buckets"])
    assert {entry["storageType"] for entry in bodies[0]["buckets"]} == {"S3", "GCS", "BLOB"}
    for name in OPTIONAL:
        assert 0 < sum(name in entry for entry in bodies[0]["buckets"]) < 40


async def test_where_any_id_exists_some_are_listed(serving: Serving) -> None:
    """Without configured buckets, six made-up ones are listed, and any ID has stats."""
    async with serving(Simulator(now=Watch())) as client:
        entries = (await client.get("/bucket")).json()["buckets"]
        assert len({entry["id"] for entry in entries}) == len(entries) == 6
        assert {entry["workspaceId"] for entry in entries} == {"workspace-1", "workspace-2"}
        for bucket in (entries[0]["id"], "any"):
            assert await stats(client, "token", f"/bucket/{bucket}/stats") == 200


async def test_made_up_buckets_have_workspaces_too(serving: Serving) -> None:
    """Made-up buckets belong to two workspaces, and any other ID only to the first one."""
    user = replace(GUEST, workspaces=frozenset({"workspace-2"}))
    async with serving(office(users=[user])) as client:
        await as_user(client, user)
        mine = ids((await client.get("/bucket")).json())
        token = client.headers["Authorization"].removeprefix("Bearer ")
        assert len(mine) == 3
        for bucket, status in ((mine.pop(), 200), ("any", 403)):
            assert await stats(client, token, f"/bucket/{bucket}/stats") == status


async def test_buckets_come_and_go(serving: Serving) -> None:
    """The buckets can be replaced while the simulator runs, even by none."""
    simulator = Simulator(now=Watch(), buckets=BUCKETS)
    async with serving(simulator) as client:
        assert ids((await client.get("/bucket")).json()) == {"a", "b", "c"}
        simulator.buckets = [*BUCKETS[1:], "new"]
        assert ids((await client.get("/bucket")).json()) == {"b", "c", "new"}
        assert await stats(client, "token", "/bucket/a/stats") == 404
        simulator.buckets = []
        assert (await client.get("/bucket")).json() == {"success": True, "buckets": []}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"a", "b", "c"}),
        ("?workspaceId=", {"a", "b", "c"}),
        ("?workspaceId=w2", {"b", "c"}),
        ("?workspaceId=unknown", set()),
    ],
)
async def test_a_workspace_can_be_asked_for(
    serving: Serving, query: str, expected: set[str]
) -> None:
    """With `workspaceId`, only the buckets of that workspace are listed."""
    async with serving(office(buckets=BUCKETS)) as client:
        await as_user(client)
        assert ids((await client.get(f"/bucket{query}")).json()) == expected


async def test_a_user_sees_the_buckets_of_its_workspaces(serving: Serving) -> None:
    """Buckets of other workspaces are not listed; requests for them or their stats get 403."""
    async with serving(office(buckets=BUCKETS)) as client:
        await as_user(client, GUEST)
        token = client.headers["Authorization"].removeprefix("Bearer ")
        assert ids((await client.get("/bucket")).json()) == {"b", "c"}
        assert ids((await client.get("/bucket?workspaceId=w2")).json()) == {"b", "c"}
        refused = await client.get("/bucket?workspaceId=w1")
        assert (refused.status_code, refused.json()["success"]) == (403, False)
        found = [await stats(client, token, f"/bucket/{bucket}/stats") for bucket in "abcd"]
        assert found == [403, 200, 200, 404]


async def test_access_is_per_token(serving: Serving) -> None:
    """Each token lists its user's buckets; a user who loses a workspace loses them at once."""
    simulator = office(buckets=BUCKETS)
    async with serving(simulator) as client:
        await as_user(client, GUEST)
        guest = client.headers["Authorization"]
        await as_user(client, OPS)
        assert ids((await client.get("/bucket")).json()) == {"a", "b", "c"}
        simulator.token_server.users = (OPS, replace(GUEST, workspaces=frozenset()))
        answer = await client.get("/bucket", headers={"Authorization": guest})
        assert answer.json() == {"success": True, "buckets": []}


async def test_forbidden_buckets_are_not_listed(serving: Serving) -> None:
    """A forbidden bucket is not listed."""
    async with serving(Simulator(now=Watch(), buckets=BUCKETS, forbidden={"a"})) as client:
        assert ids((await client.get("/bucket")).json()) == {"b", "c"}


async def test_a_list_needs_a_token(serving: Serving) -> None:
    """A list request without a valid token, or with an expired one, gets 401."""
    watch = Watch()
    async with serving(office(watch)) as client:
        assert (await client.get("/bucket")).status_code == 401
        await as_user(client)
        assert (await client.get("/bucket")).status_code == 200
        watch.time = NOON + 3600
        answer = await client.get("/bucket")
        assert answer.status_code == 401
        assert answer.json() == {"success": False, "message": "Invalid or expired token"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/bucket", 405),
        ("POST", "/bucket", 405),
        ("GET", "/bucket/available", 404),
        ("GET", "/user/login", 405),
        ("GET", "/user/refresh", 405),
    ],
)
async def test_there_is_nothing_beside_it(
    serving: Serving, method: str, path: str, status: int
) -> None:
    """Other methods get 405, and `/bucket/available` gets 404."""
    async with serving(Simulator(now=Watch())) as client:
        assert (await client.request(method, path)).status_code == status
