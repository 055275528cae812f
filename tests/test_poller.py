from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import pytest
from fakes import at, failure, snapshot, station, venue

from exporter.changes import advance
from exporter.model import Change, Event, Failure, Outage, Reason, Snapshot, Venue, VenueState
from exporter.poller import Poller


class Rooms:
    """Everything around a poller; what it does stands in `did`."""

    def __init__(self, *outcomes: Snapshot | Failure) -> None:
        self.did: list[str] = []
        self.told: list[Change] = []
        self.state = VenueState(venue())
        self.outcomes = list(outcomes)
        self.crash: str | None = None
        self.poller: Poller[Venue, VenueState, Snapshot | Failure] = Poller(
            self._ask, self._recall, advance, self._tell, self._remember
        )

    def _ask(self, _venue: Venue) -> Snapshot | Failure:
        self._note("ask")
        return self.outcomes.pop(0)

    def _recall(self, _venue: Venue) -> VenueState:
        self._note("recall")
        return self.state

    def _tell(self, changes: Sequence[Change]) -> None:
        self.told += changes
        self._note("tell")

    def _remember(self, state: VenueState, _changes: Sequence[Change]) -> None:
        self._note("remember")
        self.state = state

    def _note(self, what: str) -> None:
        self.did.append(what)
        if self.crash == what:
            raise RuntimeError(what)


def test_a_poll_asks_decides_tells_and_remembers_in_this_order() -> None:
    rooms = Rooms(snapshot(station()))
    outcome = rooms.poller.poll(venue())
    assert outcome == snapshot(station())
    assert rooms.did == ["ask", "recall", "tell", "remember"]
    assert rooms.state.stations is not None


def test_a_failure_goes_the_same_way() -> None:
    rooms = Rooms(failure())
    rooms.poller.poll(venue())
    assert rooms.did == ["ask", "recall", "tell", "remember"]
    assert [change.event for change in rooms.told] == [Event.VENUE_LOST]
    assert rooms.state.outage == Outage(at().wall, Reason.TIMEOUT, "no complete answer in time")


def test_an_outcome_that_is_there_already_is_taken_in_without_asking() -> None:
    rooms = Rooms()
    rooms.poller.take(venue(), snapshot(station()))
    assert rooms.did == ["recall", "tell", "remember"]


def test_what_cannot_be_told_is_not_remembered_and_is_told_by_the_next_poll() -> None:
    rooms = Rooms(snapshot(station()), snapshot(station(active=False)), snapshot(station(active=False)))
    rooms.poller.poll(venue())
    rooms.crash = "tell"
    with pytest.raises(RuntimeError):
        rooms.poller.poll(venue())
    rooms.crash = None
    rooms.poller.poll(venue())
    assert [change.event for change in rooms.told] == [Event.STATION_DEACTIVATED, Event.STATION_DEACTIVATED]
    assert rooms.did[-4:] == ["ask", "recall", "tell", "remember"]


def test_nothing_is_asked_of_the_others_when_asking_ends_the_poll() -> None:
    rooms = Rooms()
    rooms.crash = "ask"
    with pytest.raises(RuntimeError):
        rooms.poller.poll(venue())
    assert rooms.did == ["ask"]


def test_outcomes_of_polls_at_the_same_time_are_taken_in_one_after_the_other() -> None:
    lock = Lock()
    held: list[bool] = []

    def note(*_: Any) -> None:
        held.append(lock.locked())

    def ask(_subject: str) -> int:
        note()
        return 1

    def decide(state: int, outcome: int) -> tuple[int, list[Change]]:
        note()
        return state + outcome, []

    poller: Poller[str, int, int] = Poller(ask, lambda _: 0, decide, note, note, lock)
    poller.poll("subject")
    assert held == [False, True, True, True]
