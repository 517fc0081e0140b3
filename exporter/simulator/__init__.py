"""A fake of the vendor's API that can inject faults, for the demo and for tests.

It imports nothing of the exporter. Start with `Simulator`, which `server.serve` serves over HTTP.
`SCENARIOS` lists the faults, and `World` produces the correct figures.
"""

from exporter.simulator.api import Simulator
from exporter.simulator.buckets import ACCESS_KEY_PREFIX, SECRET_PREFIX, WORKSPACE, SimulatedBucket
from exporter.simulator.calls import CallKind, IssuedTokens
from exporter.simulator.fault_injection import InjectedFault, ScenarioError, text_to_faults
from exporter.simulator.recorder import Asked, Recorder, Served
from exporter.simulator.scenarios import SCENARIOS, Scenario, Window
from exporter.simulator.token_server import (
    REFRESH_PREFIX,
    ExpiresAt,
    Mfa,
    Spelling,
    TokenRules,
    User,
)
from exporter.simulator.world import PUBLIC_MACHINES, Denominator, NodeDay, World, paced

__all__ = [
    "ACCESS_KEY_PREFIX",
    "PUBLIC_MACHINES",
    "REFRESH_PREFIX",
    "SCENARIOS",
    "SECRET_PREFIX",
    "WORKSPACE",
    "Asked",
    "CallKind",
    "Denominator",
    "ExpiresAt",
    "InjectedFault",
    "IssuedTokens",
    "Mfa",
    "NodeDay",
    "Recorder",
    "Scenario",
    "ScenarioError",
    "Served",
    "SimulatedBucket",
    "Simulator",
    "Spelling",
    "TokenRules",
    "User",
    "Window",
    "World",
    "paced",
    "text_to_faults",
]
