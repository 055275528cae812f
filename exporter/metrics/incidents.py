"""The lines of incidents that fire: rendered when they begin, and joined again only when one begins or ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.metrics.families import INCIDENT_FAMILIES
from exporter.metrics.render import lines
from exporter.model import Incident


class IncidentLines:
    """Keep what was rendered of incidents; these are immutable, so the same object has the same lines."""

    def __init__(self) -> None:
        self._firing: tuple[Incident, ...] = ()
        self._rendered: list[list[bytes]] = []
        self._columns = [b"" for _ in INCIDENT_FAMILIES]

    def columns(self, incidents: Iterable[Incident]) -> Sequence[bytes]:
        """Return the sample lines of each of the families of incidents, in their order.

        Of incidents that share all labels, as two bulk edits do, it has the earliest: Prometheus refuses a whole scrape
        for a series that comes twice.
        """
        firing = tuple(incidents)
        if firing != self._firing:  # which compares objects first, and values only where these differ
            known = {id(incident): rendered for incident, rendered in zip(self._firing, self._rendered, strict=True)}
            rendered = [known.get(id(incident)) or lines(INCIDENT_FAMILIES, incident) for incident in firing]
            series: dict[bytes, list[bytes]] = {}
            for _, one in sorted(zip(firing, rendered, strict=True), key=lambda pair: pair[0].began_at):
                series.setdefault(one[0], one)
            self._firing, self._rendered = firing, rendered
            self._columns = [b"".join(one[i] for one in series.values()) for i in range(len(INCIDENT_FAMILIES))]
        return self._columns
