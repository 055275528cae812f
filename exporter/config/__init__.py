"""Turn file, environment and flags into frozen settings, naming every fault with its place."""

from exporter.config.environment import take_secrets
from exporter.config.load import load
from exporter.config.settings import Brand, Ignored, Settings, State
from exporter.config.sharding import owned

__all__ = ["Brand", "Ignored", "Settings", "State", "load", "owned", "take_secrets"]
