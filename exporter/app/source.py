"""What readers ask of the running process: scrapes, pages and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.app.monitors import BrandMonitors
from exporter.app.registry import ViewRegistry
from exporter.app.service import ServiceMonitor
from exporter.clock import Clock
from exporter.config import Settings
from exporter.journal import Entry, JournalQuery
from exporter.metrics.exposition import Exposition
from exporter.model import BrandState, Incident, Instant
from exporter.priority import ScrapePriority
from exporter.store import Store
from exporter.views import BrandView, Scrape, VenueView

if TYPE_CHECKING:
    from exporter.app.others import OtherBrands


class ProcessSource:
    """Show the brands that this process polls, and beside them the `others` that share its database.

    Implements what `exporter.web` reads from; may be asked from any thread.
    """

    def __init__(
        self,
        clock: Clock,
        settings: Callable[[], Settings],
        *,
        store: Store,
        registry: ViewRegistry,
        exposition: Exposition,
        monitors: BrandMonitors,
        service: ServiceMonitor,
        priority: ScrapePriority,
        others: OtherBrands | None = None,
    ) -> None:
        self._clock, self._settings = clock, settings
        self._store, self._registry, self._exposition = store, registry, exposition
        self._monitors, self._service, self._others = monitors, service, others
        self.give_way = priority.give_way

    def scrape(self, accept: str, accept_encoding: str, names: frozenset[str] = frozenset()) -> Scrape:
        """Refresh the views that are out of date, and join the text of all."""
        self._registry.refresh()
        return self._exposition.scrape(accept, accept_encoding, names)

    def now(self) -> Instant:
        """Return the moment on both clocks."""
        return self._clock.now()

    def venues(self) -> Sequence[VenueView]:
        """Return the view of every venue."""
        here = self._registry.venues()
        return here if self._others is None else [*here, *self._others.venues()]

    def venues_from(self, key: tuple[str, ...], limit: int) -> Sequence[VenueView]:
        """Return the views of the first venues whose keys are not before a key, in the order of keys."""
        here = self._registry.venues_from(key, limit)
        return here if self._others is None else self._others.merged(here, key, limit)

    def brands(self) -> Sequence[BrandView]:
        """Return the view of every brand, also of those that other processes poll."""
        if self._others is None:
            return self._monitors.views()
        others, owner = self._others.brands(), self._others.owner
        here = {view.state.brand: replace(view, owner=owner(view.state.brand)) for view in self._monitors.views()}
        return [*here.values(), *(view for view in others if view.state.brand not in here)]

    def brands_here(self) -> Sequence[BrandView]:
        """Return the views of the brands that are polled here; of others only that they are not."""
        here = self._monitors.views()
        if self._others is None:
            return here
        names = {view.state.brand for view in here}
        configured = (brand.brand for brand in self._settings().brands)
        return [*here, *(BrandView(BrandState(name), owned=False) for name in configured if name not in names)]

    def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Return changes, newest first."""
        return self._store.journal(query)

    def incidents(self) -> Sequence[Incident]:
        """Return every incident that fires: of the process, of brands and of venues."""
        return [*self._service.incidents(), *self._monitors.incidents()]

    def process_incidents(self) -> Mapping[str, Incident]:
        """Return the incidents of the process itself by key, pending or firing."""
        return self._service.all_incidents()
