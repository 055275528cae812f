"""The status changes of the last day, kept in memory: each page reads only what is new."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from exporter.journal import Entry, JournalQuery
from exporter.model import VenueKey
from exporter.web.timeline import DAY_SLOTS, SLOT_SECONDS, STATUS_EVENTS

MOST = 5_000
"""Changes of a day that are kept; what was before the oldest of them counts as not known."""

_AT_ONCE = 500


class RecentChanges:
    """Hold the changes of the last day by venue. `journal` is that of `exporter.web.source.Source`."""

    def __init__(self, journal: Callable[[JournalQuery], Sequence[Entry]]) -> None:
        self._journal = journal
        self._slot = -1
        self._newest = 0
        self._by_venue: dict[VenueKey, list[Entry]] = {}

    def refresh(self, now: float) -> Mapping[VenueKey, Sequence[Entry]]:
        """Return the changes of each venue, newest first.

        Read again in every slot, so that what several processes write out of order is seen.
        """
        slot = int(now // SLOT_SECONDS)
        if slot != self._slot:
            self._slot, self._newest, self._by_venue = slot, 0, {}
        start = (slot + 1 - DAY_SLOTS) * SLOT_SECONDS
        new: list[Entry] = []
        before = None
        while len(new) < MOST:
            page = self._journal(JournalQuery(events=STATUS_EVENTS, before=before, limit=_AT_ONCE))
            wanted = [entry for entry in page if entry.id > self._newest and entry.observed_at >= start]
            new += wanted
            if len(wanted) < _AT_ONCE:
                break
            before = page[-1].id
        fresh: dict[VenueKey, list[Entry]] = {}
        for entry in new:
            if entry.venue_id is not None:
                fresh.setdefault((entry.brand, entry.venue_id), []).append(entry)
        for key, entries in fresh.items():
            self._by_venue[key] = [*entries, *self._by_venue.get(key, ())]
        self._newest = max([self._newest, *(entry.id for entry in new)])
        return self._by_venue
