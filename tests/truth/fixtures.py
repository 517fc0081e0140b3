"""The accounts, buckets and tokens that a run starts with."""

from __future__ import annotations

from exporter import simulator
from tests.truth.harness import USER
from tests.truth.plan import Plan, PlannedAccount, PlannedBucket, PlannedDiscovery

PLAIN = tuple(f"b{number:02}" for number in range(24))
ODD = ("a/b c", 'quo"te', "back\\slash", "é☃", "50%", "0123", "a?b#c", "{x}", "...")
FINDABLE = tuple(simulator.SimulatedBucket(f"d{number}", f"found-{number}") for number in range(8))
OUT_OF_SIGHT = "workspace-2"
FIRST_TOKENS = ("given-0", "file-0")
"""The token in the configuration, and the one in the token file."""


def first_plan(directory: str) -> Plan:
    """Three accounts: with a login and discovery, with a token file, and with a token."""
    hand = [PlannedBucket(bucket) for bucket in (*PLAIN, *ODD)]
    login = {"login": {"email": USER.email, "password_file": f"{directory}/password"}}
    file = {"authorization": {"credentials_file": f"{directory}/token"}}
    given = {"authorization": {"credentials": FIRST_TOKENS[0]}}
    return Plan(
        (
            PlannedAccount("login", login, tuple(hand[:4]), PlannedDiscovery()),
            PlannedAccount("file", file, tuple(hand[4:16]), None, 45, 150),
            PlannedAccount("given", given, tuple(hand[16:]), None, 60, 240),
        )
    )


def buckets() -> tuple[simulator.SimulatedBucket, ...]:
    """The buckets that exist at first."""
    hand = (simulator.SimulatedBucket(bucket, "", OUT_OF_SIGHT) for bucket in (*PLAIN, *ODD))
    return (*hand, *FINDABLE)
