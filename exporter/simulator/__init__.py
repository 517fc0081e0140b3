"""A fake of the vendor's API with scripted trouble, for the demo and for tests.

It knows nothing of the exporter. `Simulator` and `serve` are the way in, `SCENARIOS` the table of
what can go wrong, `World` the truth behind the answers.
"""

from exporter.simulator.buckets import ACCESS_KEY_PREFIX, SECRET_PREFIX, WORKSPACE, Bucket
from exporter.simulator.call import CallKind
from exporter.simulator.calls import Grant
from exporter.simulator.fault_injection import ScenarioError, Trouble, text_to_troubles
from exporter.simulator.machines import PUBLIC_MACHINES
from exporter.simulator.pace import paced
from exporter.simulator.recorder import Asked, Record, Served
from exporter.simulator.scenario import Scenario, Window
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import Simulator, serve
from exporter.simulator.tokens import REFRESH_PREFIX, ExpiresAt, Spelling, TokenRules
from exporter.simulator.users import Mfa, User
from exporter.simulator.world import Denominator, NodeDay, World

__all__ = [
    "ACCESS_KEY_PREFIX",
    "PUBLIC_MACHINES",
    "REFRESH_PREFIX",
    "SCENARIOS",
    "SECRET_PREFIX",
    "WORKSPACE",
    "Asked",
    "Bucket",
    "CallKind",
    "Denominator",
    "ExpiresAt",
    "Grant",
    "Mfa",
    "NodeDay",
    "Record",
    "Scenario",
    "ScenarioError",
    "Served",
    "Simulator",
    "Spelling",
    "TokenRules",
    "Trouble",
    "User",
    "Window",
    "World",
    "paced",
    "serve",
    "text_to_troubles",
]
