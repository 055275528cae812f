"""The rules of the configuration that are in force for a brand and for each of its venues."""

from __future__ import annotations

from exporter.app import translate
from exporter.config import Brand, Settings
from exporter.incidents import IncidentRules
from exporter.model import Opening, Venue
from exporter.scheduling.loop import PollLoop
from exporter.views import VenueRules, stale_after_in_force


class BrandRules:
    """Read the rules of a brand from its settings, by the poll intervals that its loop has in force at the moment."""

    def __init__(self, settings: Brand, common: Settings, loop: PollLoop) -> None:
        self._loop = loop
        self.configure(settings, common)

    def configure(self, settings: Brand, common: Settings) -> None:
        """Replace the settings."""
        self._settings, self._common = settings, common
        # Read once each: opening hours are not cheap to parse.
        self._venues: dict[str, VenueRules] = {}

    def venue(self, venue: Venue) -> VenueRules:
        """Return how a venue is shown."""
        rules = self._venues.get(venue.id)
        if rules is None:
            rules = self._venues[venue.id] = translate.rules(self._settings, venue.id, self._common.stale_after)
        return rules

    def opening(self, venue: Venue, wall: float) -> Opening | None:
        """Return whether a venue is open at `wall`, epoch seconds; None where no hours are configured."""
        hours = self.venue(venue).hours
        return None if hours is None else hours.at(wall)

    def incidents(self, venue: Venue) -> IncidentRules:
        """Return when something is an incident of a venue."""
        rules = self.venue(venue)
        stale_after = stale_after_in_force(rules.stale_after, self._loop.round_robin.interval_of(venue.id))
        return IncidentRules(rules.hours, rules.ignore, self._common.incidents.delay, stale_after)

    def brand_incidents(self) -> IncidentRules:
        """Return when something is an incident of the brand."""
        return IncidentRules(
            delay=self._common.incidents.delay,
            stale_after=stale_after_in_force(self._common.stale_after, self._loop.round_robin.interval),
        )
