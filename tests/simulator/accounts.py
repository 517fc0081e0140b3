"""Helpers for tests of the simulator's accounts: users, times and requests."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import httpx

from exporter.simulator import Simulator, User

Serving: TypeAlias = Callable[[Simulator], AbstractAsyncContextManager[httpx.AsyncClient]]

NOON = 1705320000.0  # 2024-01-15T12:00:00Z
HOUR = 3600
TODAY = {"day": "2024-01-15T00:00:00.000Z"}
STATS = "/bucket/b/stats"
OPS = User("ops@example.com", "correct horse")
GUEST = User("guest@example.com", "battery staple", workspaces=frozenset({"w2"}))


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> float:
        return self.time


def office(watch: Watch | None = None, **arguments: Any) -> Simulator:  # noqa: ANN401 - the simulator's own
    """A simulator with two users."""
    return Simulator(now=watch or Watch(), **{"users": (OPS, GUEST)} | arguments)


async def login(client: httpx.AsyncClient, user: User = OPS) -> httpx.Response:
    """Log a user in."""
    return await client.post("/user/login", json={"email": user.email, "password": user.password})


async def refresh(
    client: httpx.AsyncClient, token: object, name: str = "refresh_token"
) -> httpx.Response:
    """Use a refresh token."""
    return await client.post("/user/refresh", json={name: token})


async def stats(client: httpx.AsyncClient, token: str, path: str = STATS) -> int:
    """Request stats with a token; returns the status."""
    headers = {"Authorization": f"Bearer {token}"}
    return (await client.post(path, json=TODAY, headers=headers)).status_code


async def as_user(client: httpx.AsyncClient, user: User = OPS) -> httpx.AsyncClient:
    """Log a user in, and let the client send the user's token."""
    token = (await login(client, user)).json()["accessToken"]
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def payload(token: str) -> dict[str, Any]:
    """The payload of a JWT."""
    part = token.split(".")[1]
    fields: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return fields
