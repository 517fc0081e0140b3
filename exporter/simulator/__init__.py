"""A fake of the vendor's API with scripted trouble, for the demo and for tests.

It knows nothing of the exporter. `Simulator` and `serve` are the way in, `SCENARIOS` the table of
what can go wrong, `World` the truth behind the answers.
"""

from exporter.simulator.machines import PUBLIC_MACHINES
from exporter.simulator.pace import paced
from exporter.simulator.record import Asked, Record, Served
from exporter.simulator.scenarios import SCENARIOS, Scenario, Window
from exporter.simulator.server import Simulator, serve
from exporter.simulator.troubles import ScenarioError, Trouble, text_to_troubles
from exporter.simulator.world import Denominator, NodeDay, World

__all__ = [
    "PUBLIC_MACHINES",
    "SCENARIOS",
    "Asked",
    "Denominator",
    "NodeDay",
    "Record",
    "Scenario",
    "ScenarioError",
    "Served",
    "Simulator",
    "Trouble",
    "Window",
    "World",
    "paced",
    "serve",
    "text_to_troubles",
]
