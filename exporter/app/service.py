"""The incidents of the process itself, and the thread that reviews those of all brands as time passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Event, Thread

import structlog

from exporter.app.brand import BrandMonitor
from exporter.clock import Clock
from exporter.incidents import PartHealth, assess_service
from exporter.model import Incident
from exporter.store import Store

SERVICE = ""
"""The brand under which the incidents of the process are stored: no brand of Clopos has an empty name."""

LOOK_SECONDS = 0.5


class ServiceMonitor(Thread):
    """Decide what is wrong with the process, and review every brand when time alone may have changed something."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        stop: Event,
        parts: Callable[[], Mapping[str, PartHealth]],
        brands: Iterable[BrandMonitor],
        *,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="incidents", daemon=True)
        self._store, self._clock, self._stopping = store, clock, stop
        self._parts, self._brands, self._look = parts, brands, look
        self._log = structlog.get_logger(__name__)

    def incidents(self) -> Sequence[Incident]:
        """Return the incidents of the process that fire."""
        return [incident for incident in self.all_incidents().values() if incident.firing]

    def all_incidents(self) -> Mapping[str, Incident]:
        """Return the incidents of the process by key, pending or firing."""
        return self._store.brand(SERVICE).incidents

    def review(self) -> None:
        """Decide about the process now."""
        state = self._store.brand(SERVICE)
        incidents, changes = assess_service(state.incidents, self._parts(), self._clock.now())
        if incidents is not state.incidents or changes:
            self._store.commit(replace(state, incidents=incidents), changes=changes)

    def run(self) -> None:
        """Review again and again, until the process stops."""
        while not self._clock.wait(self._stopping, LOOK_SECONDS):
            for review in (self._look, self.review, *(brand.review for brand in self._brands)):
                try:
                    review()
                except Exception:  # noqa: BLE001 - one brand's fault must not end everybody's incidents
                    self._log.exception("incidents.crashed")
