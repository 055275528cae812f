"""Turn file, environment and flags into frozen settings, naming every fault with its place."""

from exporter.config.load import load
from exporter.config.settings import Brand, Ignored, ListedVenue, Settings, State, VenueSettings
from exporter.config.sharding import owned
from exporter.config.values import Secret

__all__ = ["Brand", "Ignored", "ListedVenue", "Secret", "Settings", "State", "VenueSettings", "load", "owned"]
