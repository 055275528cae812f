"""The brands that this process polls: their monitors are started, reconfigured, replaced and stopped here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from exporter.app.brand import BrandMonitor
from exporter.app.services import Services
from exporter.clock import Deadline
from exporter.config import Brand, Settings
from exporter.model import Incident
from exporter.views import BrandView

STOP_SECONDS = 2.0
"""Seconds that polls under way have to notice that they are over."""

_WITHOUT_CONNECTION = {
    "back_office_url",
    "ignore_stations",
    "opening_hours",
    "time_zone",
    "venue_overrides",
    "venues",
}
"""Settings of a brand that its client does not use to connect: they may change while it keeps token and quota."""


class BrandMonitors:
    """Hold the monitors by the names of their brands: changed by one thread at a time, read by any."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._monitors: dict[str, BrandMonitor] = {}

    def __iter__(self) -> Iterator[BrandMonitor]:
        """Iterate over the monitors of this moment."""
        return iter(list(self._monitors.values()))

    def __contains__(self, name: str) -> bool:
        """Return whether a brand is polled here."""
        return name in self._monitors

    def __getitem__(self, name: str) -> BrandMonitor:
        """Return the monitor of a brand."""
        return self._monitors[name]

    def apply(self, brands: Iterable[Brand], common: Settings) -> None:
        """Poll these brands and no others; one that has to connect anew keeps its state, which lives in the store."""
        wanted = {brand.brand: brand for brand in brands}
        self.remove(self._monitors.keys() - wanted.keys())
        for name, brand in wanted.items():
            if self._services.stop.is_set():
                return
            monitor = self._monitors.get(name)
            if monitor is not None and _same_connection(monitor.settings, brand):
                monitor.reconfigure(brand, common)
                continue
            if monitor is not None:
                monitor.stop()
            self.add(brand, common)

    def add(self, brand: Brand, common: Settings) -> None:
        """Poll a brand from now on."""
        monitor = self._monitors[brand.brand] = BrandMonitor(brand, common, self._services)
        monitor.start()
        self._services.permanent.grow(self._services.registry.count_known())

    def remove(self, names: Collection[str]) -> None:
        """Stop polling brands, and let them vanish from every reader."""
        monitors = [self._monitors.pop(name) for name in names if name in self._monitors]
        for monitor in monitors:
            monitor.stop()
        registry = self._services.registry
        registry.remove([view.state.venue.key for view in registry.venues() if view.state.venue.brand in names])
        for name in names:
            self._services.telemetry.forget(name)
        _join(monitors, Deadline(STOP_SECONDS))

    def stop(self, seconds: float) -> None:
        """Cut what is under way, for so many seconds at the most; readers see the brands as they were."""
        deadline = Deadline(seconds)
        for monitor in self:
            monitor.stop(deadline.left())
        _join(self, deadline)

    def views(self) -> Sequence[BrandView]:
        """Return the views of the brands."""
        return [monitor.view() for monitor in self]

    def incidents(self) -> Sequence[Incident]:
        """Return the incidents of brands and venues that fire."""
        return [incident for monitor in self for incident in monitor.incidents()]


def _join(monitors: Iterable[BrandMonitor], deadline: Deadline) -> None:
    for monitor in monitors:
        monitor.loop.join(deadline.left())


def _same_connection(before: Brand, after: Brand) -> bool:
    return before.model_dump(exclude=_WITHOUT_CONNECTION) == after.model_dump(exclude=_WITHOUT_CONNECTION)
