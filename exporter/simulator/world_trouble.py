"""Trouble with the world itself: what happens to nodes, which there are, how uptime is counted.

Each function takes a world and returns another, whose figures are as consistent as the first's.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from exporter.simulator.machines import HUNDREDS_OF_MACHINES, PRIVATE_MACHINES
from exporter.simulator.timeline import OFFLINE, HourlyEvent
from exporter.simulator.world import Denominator, World

AlterWorld: TypeAlias = Callable[[World], World]


def same_world(world: World) -> World:
    """No trouble."""
    return world


def node_down(world: World) -> World:
    """One public node fails each hour."""
    return _with_event(world, HourlyEvent("us-east-1-aws", 10, 20, status=OFFLINE))


def region_slow(world: World) -> World:
    """One region is slow for a while each hour."""
    return _with_event(world, HourlyEvent("eu-central-1", 30, 40, slowness=8.0))


def private_too(world: World) -> World:
    """An organisation's own nodes besides the public ones."""
    return replace(world, machines=world.machines + PRIVATE_MACHINES)


def crowded(world: World) -> World:
    """Hundreds of nodes besides the public ones."""
    return replace(world, machines=world.machines + HUNDREDS_OF_MACHINES)


def by_whole_day(world: World) -> World:
    """The running day's uptime grows from 0 towards 100."""
    return replace(world, denominator=Denominator.WHOLE_DAY)


def _with_event(world: World, event: HourlyEvent) -> World:
    return replace(world, events=(*world.events, event))
