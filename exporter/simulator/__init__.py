"""Be a Clopos on loopback that can be told to misbehave."""

from exporter.simulator.faults import Fault, describe_faults
from exporter.simulator.limits import Tiers
from exporter.simulator.scenarios import SCENARIOS, simulate
from exporter.simulator.simulator import Simulator
from exporter.simulator.world import Mutation, World

__all__ = ["SCENARIOS", "Fault", "Mutation", "Simulator", "Tiers", "World", "describe_faults", "simulate"]
