"""Emit the journal to the log: the first consumer of the transactional outbox.

Polls store a change and the new state together and go on; this thread follows the journal through a stored cursor, and
moves the cursor only after the lines are written. A crash may repeat an event and loses none, and a log that is blocked
holds up nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event, Thread
from typing import Any

import structlog

from exporter.journal import Journal

BATCH = 500
_LOOK_SECONDS = 5.0


class EventLog(Thread):
    """Write one line for each change, in order, beginning with what an earlier process stored and did not emit.

    `emit` writes events (level, fields) completely and returns False where it was stopped before; `grown` is set
    whenever the journal has new entries.
    """

    def __init__(
        self, journal: Journal, grown: Event, emit: Callable[[Iterable[tuple[int, dict[str, Any]]]], bool]
    ) -> None:
        super().__init__(name="event-log", daemon=True)
        self._journal, self._grown, self._emit = journal, grown, emit
        self._stopping = False
        self._log = structlog.get_logger(__name__)

    def stop(self, seconds: float) -> None:
        """Emit what is in the journal, for so many seconds at the most; the next start emits the rest."""
        self._stopping = True
        self._grown.set()
        if self.is_alive():
            self.join(seconds)

    def emit_pending(self) -> bool:
        """Emit the next entries, and return whether there were any; False too where the log was stopped."""
        cursor = self._journal.cursor()
        entries = self._journal.entries_after(cursor, BATCH)
        if not entries:
            return False
        if entries[0].id > cursor + 1:
            # Asked again: with a brand that another process owns by now, its entries are no longer ours to emit.
            cursor = self._journal.cursor()
        lost = entries[0].id - cursor - 1
        if lost > 0:
            self._log.warning("log.events_lost", count=lost, reason="the log could not be written for too long")
        if not self._emit((entry.level, entry.fields()) for entry in entries):
            return False
        self._journal.advance(entries[-1].id)
        return True

    def run(self) -> None:
        """Follow the journal until it is stopped."""
        while True:
            self._grown.clear()
            try:
                while self.emit_pending():
                    pass
            except Exception:  # noqa: BLE001 - logged; without this thread no change would be logged any more
                self._log.exception("thread.crashed", thread=self.name)
            if self._stopping:
                return
            self._grown.wait(_LOOK_SECONDS)
