"""Serve a fake Clopos on loopback that misbehaves on request."""

from exporter.simulator.faults import Fault, describe_faults
from exporter.simulator.limits import Tiers
from exporter.simulator.scenarios import SCENARIOS, simulate
from exporter.simulator.simulator import Simulator
from exporter.simulator.world import Mutation, World

__all__ = ["SCENARIOS", "Fault", "Mutation", "Simulator", "Tiers", "World", "describe_faults", "simulate"]
