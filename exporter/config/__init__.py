"""Turn file, environment and flags into frozen settings, naming every fault with its place."""

from exporter.config.environment import take_secrets
from exporter.config.load import load
from exporter.config.settings import Brand, Channel, Ignored, ListedVenue, Settings, State, VenueSettings
from exporter.config.sharding import owned, shard_of

__all__ = [
    "Brand",
    "Channel",
    "Ignored",
    "ListedVenue",
    "Settings",
    "State",
    "VenueSettings",
    "load",
    "owned",
    "shard_of",
    "take_secrets",
]
