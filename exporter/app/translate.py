"""Translate the configuration into the types of the modules below."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event

from exporter import hours, ignoring
from exporter.clock import Clock
from exporter.clopos.client import Client
from exporter.clopos.limits import IpLimits
from exporter.clopos.login import Credentials
from exporter.clopos.transport import Observe
from exporter.config import Brand
from exporter.model import DEFAULT_VENUE, Venue
from exporter.scheduling.pool import MAX_PER_OWNER
from exporter.views import VenueRules


def credentials(brand: Brand) -> Credentials | str:
    """Return what the client logs in with, or the ready token."""
    if brand.token is not None:
        return brand.token.get_secret_value()
    secret = brand.client_secret.get_secret_value() if brand.client_secret else ""
    return Credentials(brand.client_id or "", secret, brand.brand, brand.integrator_id or "")


def listed_venues(brand: Brand) -> tuple[Venue, ...] | None:
    """Return the listed venues, with an empty name where it has to come from Clopos; None for all there are."""
    if brand.venues is None:
        return None
    unnamed = {DEFAULT_VENUE: brand.brand}
    return tuple(Venue(brand.brand, venue.id, venue.name or unnamed.get(venue.id, "")) for venue in brand.venues)


def rules(brand: Brand, venue_id: str, stale_after: float) -> VenueRules:
    """Return what the configuration says of how a venue is shown."""
    settings = brand.venue(venue_id)
    ignore = tuple(
        ignoring.IgnoreRule(item.station, ignoring.end_of(item.until, hours.zone(settings.time_zone)))
        if item.until is not None
        else ignoring.IgnoreRule(item.station)
        for item in settings.ignore_stations
    )
    opening = hours.parse(settings.opening_hours, settings.time_zone) if settings.opening_hours else None
    zone = hours.zone(settings.time_zone) if settings.time_zone else None
    return VenueRules(stale_after, opening, ignore, zone, brand.back_office_url or "")


def client(
    brand: Brand,
    *,
    clock: Clock,
    stop: Event,
    ip_limits: IpLimits,
    observe: Observe = lambda _endpoint, _code, _seconds: None,
    reread: Callable[[str], Credentials | str] | None = None,
    permitted: Callable[[], bool] = lambda: True,
    give_way: Callable[[], None] = lambda: None,
) -> Client:
    """Return the client for a brand."""
    return Client(
        brand.brand,
        credentials(brand),
        base_url=brand.base_url,
        requests_per_minute=brand.requests_per_minute,
        clock=clock,
        stop=stop,
        ip_limits=ip_limits,
        observe=observe,
        reread=None if reread is None else partial(reread, brand.brand),
        listed=listed_venues(brand),
        connections=MAX_PER_OWNER,
        permitted=permitted,
        give_way=give_way,
    )
