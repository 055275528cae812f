from __future__ import annotations

import logging
from collections.abc import Iterable
from threading import Event as Signal
from typing import Any

import pytest
from fakes import until
from structlog.testing import capture_logs

from exporter.events import BATCH, EventLog
from exporter.journal import LEVELS
from exporter.model import BrandState, Change, Event, Venue
from exporter.store import MemoryStore

Emitted = list[tuple[int, dict[str, Any]]]


class FakeLog:
    """A log that takes events as long as it is asked to."""

    def __init__(self) -> None:
        self.emitted: Emitted = []
        self.blocked = False

    def emit(self, events: Iterable[tuple[int, dict[str, Any]]]) -> bool:
        if self.blocked:
            return False
        self.emitted += events
        return True

    @property
    def venues(self) -> list[str]:
        return [fields["venue_id"] for _, fields in self.emitted]


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def events(store: MemoryStore, log: FakeLog) -> EventLog:
    return EventLog(store, Signal(), log.emit)


def store_changes(store: MemoryStore, numbers: Iterable[int]) -> None:
    changes = [Change(Event.VENUE_ADDED, "tandir", 0.0, Venue("tandir", str(number), "")) for number in numbers]
    store.commit(BrandState("tandir"), changes=changes)


@pytest.mark.parametrize("event", Event)
def test_every_event_is_emitted_with_its_level(
    store: MemoryStore, log: FakeLog, events: EventLog, event: Event
) -> None:
    store.commit(changes=[Change(event, "tandir", 0.0)])
    assert events.emit_pending()
    [(level, fields)] = log.emitted
    assert (logging.getLevelName(level), fields["event"]) == (logging.getLevelName(LEVELS[event]), event.value)


def test_changes_are_emitted_once_and_in_order(store: MemoryStore, log: FakeLog, events: EventLog) -> None:
    store_changes(store, range(3))
    assert events.emit_pending()
    assert not events.emit_pending()
    store_changes(store, range(3, 5))
    assert events.emit_pending()
    assert log.venues == ["0", "1", "2", "3", "4"]


def test_the_cursor_stays_where_the_log_was_stopped(store: MemoryStore, log: FakeLog, events: EventLog) -> None:
    store_changes(store, range(3))
    log.blocked = True
    assert not events.emit_pending()
    assert store.cursor() == 0
    log.blocked = False
    assert events.emit_pending()
    assert log.venues == ["0", "1", "2"]


def test_what_an_earlier_process_did_not_emit_comes_first(store: MemoryStore, log: FakeLog, events: EventLog) -> None:
    store_changes(store, range(BATCH + 3))
    while events.emit_pending():
        pass
    assert log.venues == [str(number) for number in range(BATCH + 3)]


def test_entries_that_were_pruned_before_the_log_came_back_are_counted(log: FakeLog) -> None:
    store = MemoryStore(journal_rows=5)
    store_changes(store, range(12))
    with capture_logs() as logs:
        assert EventLog(store, Signal(), log.emit).emit_pending()
    assert log.venues == ["7", "8", "9", "10", "11"]
    assert [(line["event"], line["count"]) for line in logs] == [("log.events_lost", 7)]


def test_the_thread_follows_the_journal_and_stops_when_all_is_emitted(store: MemoryStore, log: FakeLog) -> None:
    grown = Signal()
    store.subscribe(grown.set)
    events = EventLog(store, grown, log.emit)
    events.start()
    store_changes(store, range(2))
    until(lambda: log.venues == ["0", "1"])
    store_changes(store, range(2, 4))
    events.stop(5.0)
    assert log.venues == ["0", "1", "2", "3"]
