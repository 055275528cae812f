"""One channel: what it sends when, and what it says of itself."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from fakes import NOON, FakeClock
from hypothesis import given
from hypothesis import strategies as st
from notify_fakes import ACCEPTED, FAILED, FakeTransport, MemoryOutbox, firing, incident, resolved
from structlog.testing import capture_logs

from exporter.model import Change, Incident, IncidentKind, Topic
from exporter.notify.channel import FAILURES_UNTIL_DOWN, LONGEST_BACKOFF, STUCK_SECONDS, ChannelSettings, ChannelWorker
from exporter.notify.plan import Timing
from exporter.notify.transport import SPACING_SECONDS, Message, Outcome
from exporter.outbox import DeliveryState, Route

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


class World:
    """A channel with its outbox, its service and its clock; `restart` makes a new process of it."""

    def __init__(self, *outcomes: Outcome, timing: Timing | None = None, **rest: Any) -> None:
        self.clock = FakeClock()
        self.outbox = MemoryOutbox([Route("shift", frozenset(Topic))])
        self.service = FakeTransport(*outcomes)
        self.is_reported_down = False
        self._timing, self._rest = timing or Timing(), rest
        self.restart()

    def restart(self) -> None:
        self.worker = ChannelWorker(
            ChannelSettings("shift", "json://marked", timing=self._timing),
            self.outbox,
            self.clock,
            transport=lambda _: self.service,  # type: ignore[arg-type,return-value]
            outage=lambda _: down() if self.is_reported_down and not self.worker.state.up else None,
            **self._rest,
        )

    def happens(self, *changes: Change) -> None:
        self.outbox.record(changes, self.clock.wall())

    def run(self, seconds: float) -> None:
        """Let so much time go by, stepping as the thread would."""
        until = self.clock.monotonic() + seconds
        while (wait := self.worker.step()) < until - self.clock.monotonic():
            self.clock.forward(max(wait, 0.001))
        self.clock.forward(max(0.0, until - self.clock.monotonic()))

    @property
    def titles(self) -> list[str]:
        return self.service.titles


INACTIVE = "Mətbəx has been inactive since 08:00 UTC, Gəncə"
ACTIVE = "Mətbəx is active again, Gəncə"
WAS = "Mətbəx was inactive from 08:00 UTC to 08:20 UTC, Gəncə"


def test_an_incident_is_reported_once_and_so_is_its_end() -> None:
    world = World()
    world.happens(firing(incident()))
    world.run(HOUR)
    assert world.titles == [INACTIVE]
    world.happens(resolved(incident(), world.clock.wall()))
    world.run(HOUR)
    assert world.titles == [INACTIVE, ACTIVE]
    assert world.outbox.deliveries("shift") == []


def test_what_comes_within_the_group_wait_goes_into_one_message() -> None:
    world = World()
    world.happens(firing(incident()))
    world.run(20.0)
    world.happens(firing(incident(station_id="2", station="Bar")))
    world.run(9.0)
    assert world.titles == []
    world.run(2.0)
    assert world.titles == ["2 stations are inactive, Gəncə"]


def test_two_hundred_stations_at_once_are_one_message() -> None:
    world = World()
    world.happens(*(firing(incident(station_id=str(n), station=f"S{n}")) for n in range(200)))
    world.run(HOUR)
    assert world.titles == ["200 stations are inactive, Gəncə"]
    assert world.worker.state.counts == {"sent": 1, "retried": 0, "expired": 0, "merged": 199}


def test_an_incident_that_ended_before_anybody_could_be_notified_is_one_message() -> None:
    world = World(FAILED)
    world.happens(firing(incident()))
    world.run(10 * MINUTE)
    world.happens(resolved(incident(), NOON + 1200.0))
    world.service.outcomes = [ACCEPTED]
    world.run(HOUR)
    assert world.titles == [WAS]


def test_closing_time_ends_an_incident_silently() -> None:
    world = World()
    world.happens(firing(incident()))
    world.run(MINUTE)
    world.happens(resolved(incident(), world.clock.wall(), "closed"))
    world.run(MINUTE)
    assert world.titles == [INACTIVE]
    assert world.outbox.deliveries("shift") == []


def test_closing_time_does_not_hide_what_nobody_was_notified_of() -> None:
    world = World(FAILED)
    world.happens(firing(incident()), resolved(incident(), NOON + 1200.0, "closed"))
    world.run(MINUTE)
    world.service.outcomes = [ACCEPTED]
    world.run(HOUR)
    assert world.titles == [WAS]


@pytest.mark.parametrize("ended", ["replaced", "ignored", "retired"])
def test_what_nobody_was_notified_of_and_need_not_be_is_dropped(ended: str) -> None:
    world = World()
    world.happens(firing(incident()), resolved(incident(), NOON + 1200.0, ended))
    world.run(HOUR)
    assert world.service.attempts == 0
    assert world.outbox.deliveries("shift") == []


def test_what_another_incident_stands_for_is_not_over() -> None:
    world = World()
    world.happens(firing(incident()))
    world.run(MINUTE)
    whole = incident(IncidentKind.VENUE_NO_ACTIVE_STATION, station=None, station_id=None)
    world.happens(resolved(incident(), world.clock.wall(), "replaced"), firing(whole))
    world.run(MINUTE)
    assert world.titles == [INACTIVE, "All stations of Gəncə have been inactive since 08:00 UTC"]


def test_an_end_goes_to_nobody_who_was_not_notified_of_the_beginning() -> None:
    world = World()
    world.happens(resolved(incident(), NOON))
    world.run(HOUR)
    assert world.service.attempts == 0
    assert world.outbox.deliveries("shift") == []


def test_an_incident_that_fires_a_second_time_is_reported_a_second_time() -> None:
    world = World()
    for seconds in (0.0, HOUR):
        world.happens(firing(incident(seconds=seconds)))
        world.run(MINUTE)
        world.happens(resolved(incident(seconds=seconds), world.clock.wall()))
        world.run(MINUTE)
    assert [title.split(",")[0] for title in world.titles] == [
        "Mətbəx has been inactive since 08:00 UTC",
        "Mətbəx is active again",
        "Mətbəx has been inactive since 09:00 UTC",
        "Mətbəx is active again",
    ]


def test_two_incidents_of_one_kind_and_place_that_fire_at_once_end_once_each() -> None:
    world = World()
    bulk = incident(IncidentKind.MANY_VENUES_INACTIVE, venue=None, station=None, station_id=None)
    world.happens(firing(bulk), firing(bulk))
    world.run(MINUTE)
    world.happens(resolved(bulk, NOON + 300.0))
    world.run(MINUTE)
    world.happens(resolved(bulk, NOON + 600.0))
    world.run(MINUTE)
    assert len(world.titles) == 3
    assert world.outbox.deliveries("shift") == []


def test_a_firing_incident_is_repeated_only_where_that_is_configured() -> None:
    world = World(timing=Timing(repeat_interval=HOUR))
    world.happens(firing(incident()))
    world.run(2.5 * HOUR)
    assert world.titles == [INACTIVE, f"Reminder: {INACTIVE}", f"Reminder: {INACTIVE}"]
    world.happens(resolved(incident(), world.clock.wall()))
    world.run(3 * HOUR)
    assert world.titles[3:] == [ACTIVE]


def test_a_clock_that_is_set_back_holds_back_no_reminder_for_longer_than_another_interval() -> None:
    world = World(timing=Timing(repeat_interval=HOUR))
    world.happens(firing(incident()))
    world.run(60)
    world.clock.set_wall(world.clock.wall() - 24 * HOUR)
    world.run(1.5 * HOUR)
    assert [title.partition(":")[0] for title in world.titles[1:]] == ["Reminder", "Reminder"]


def test_what_is_not_known_to_go_on_is_not_repeated() -> None:
    known = [False]
    world = World(timing=Timing(repeat_interval=HOUR), still_firing=lambda _: known[0])
    world.happens(firing(incident()))
    world.run(2 * HOUR)
    assert world.titles == [INACTIVE]
    known[0] = True
    world.run(MINUTE)
    assert world.titles == [INACTIVE, f"Reminder: {INACTIVE}"]


def test_a_restart_while_an_incident_fires_says_nothing_and_forgets_nothing() -> None:
    world = World()
    world.happens(firing(incident()))
    world.run(MINUTE)
    world.restart()
    world.run(HOUR)
    assert world.titles == [INACTIVE]
    world.happens(resolved(incident(), world.clock.wall()))
    world.run(MINUTE)
    assert world.titles == [INACTIVE, ACTIVE]


def test_what_was_not_delivered_before_a_restart_is_delivered_after_it_without_another_wait() -> None:
    world = World(FAILED)
    world.happens(firing(incident()))
    world.run(10 * MINUTE)
    world.restart()
    world.service.outcomes = [ACCEPTED]
    world.run(1.0)
    assert world.titles == [INACTIVE]


def test_failed_deliveries_are_repeated_with_growing_pauses_up_to_ten_minutes() -> None:
    world = World(FAILED)
    world.happens(firing(incident()))
    times = []
    for _ in range(12):
        attempts = world.service.attempts
        while world.service.attempts == attempts:
            world.clock.forward(world.worker.step())
        times.append(world.clock.monotonic())
    pauses = [round(after - before, 6) for before, after in itertools.pairwise(times)]
    assert 5.0 <= pauses[0] <= 12.6
    assert all(before <= after for before, after in itertools.pairwise(pauses))
    assert pauses[-1] == LONGEST_BACKOFF


def test_a_service_that_asks_to_wait_is_left_alone_for_so_long() -> None:
    world = World(Outcome(accepted=False, problem="HTTP 429", retry_after=90.0), ACCEPTED)
    world.happens(firing(incident()))
    world.run(30.0 + 89.0)
    assert world.service.attempts == 1
    world.run(2.0)
    assert world.titles == [INACTIVE]


def test_what_could_not_be_delivered_for_too_long_is_dropped_logged_and_counted() -> None:
    world = World(FAILED)
    world.happens(firing(incident()))
    with capture_logs() as logs:
        world.run(DAY + HOUR)
    assert world.outbox.deliveries("shift") == []
    assert world.worker.state.counts["expired"] == 1
    assert [log["count"] for log in logs if log["event"] == "notification.expired"] == [1]
    world.happens(resolved(incident(), world.clock.wall()))
    world.service.outcomes = [ACCEPTED]
    world.run(DAY)
    assert world.titles == []


def test_an_end_that_expired_ends_the_reminders_too() -> None:
    world = World(timing=Timing(repeat_interval=HOUR))
    world.happens(firing(incident()))
    world.run(MINUTE)
    world.service.outcomes = [FAILED]
    world.happens(resolved(incident(), world.clock.wall()))
    world.run(2 * DAY)
    world.service.outcomes = [ACCEPTED]
    world.run(DAY)
    assert world.titles == [INACTIVE]
    assert world.outbox.deliveries("shift") == []


@pytest.mark.parametrize("jump", [-7 * DAY, 7 * DAY])
def test_a_wall_clock_that_jumps_neither_drops_nor_holds_back_a_message(jump: float) -> None:
    world = World(FAILED)
    world.happens(firing(incident()))
    world.run(MINUTE)
    world.clock.set_wall(world.clock.wall() + jump)
    world.service.outcomes = [ACCEPTED]
    world.run(10 * MINUTE)
    assert len(world.titles) == 1


def test_messages_follow_each_other_no_faster_than_telegram_admits() -> None:
    world = World(timing=Timing(group_wait=0.0))
    sent: list[Any] = []
    for n in range(5):
        world.happens(firing(incident(station_id=str(n))))
        while len(world.titles) == len(sent):
            world.clock.forward(world.worker.step())
        sent.append(world.clock.monotonic())
    assert all(after - before >= SPACING_SECONDS - 0.001 for before, after in itertools.pairwise(sent))


def test_what_comes_too_fast_is_merged_and_not_dropped() -> None:
    world = World(timing=Timing(group_wait=0.0))
    for n in range(10):
        world.happens(firing(incident(station_id=str(n))))
        world.run(0.3)
    world.run(MINUTE)
    assert len(world.titles) == 2
    counts = world.worker.state.counts
    assert counts["sent"] + counts["merged"] == 10


def test_a_channel_is_up_once_a_message_was_accepted_and_down_after_failures_in_a_row() -> None:
    world = World(*[FAILED] * FAILURES_UNTIL_DOWN, ACCEPTED)
    assert world.worker.state.up is None
    world.happens(firing(incident()))
    while world.service.attempts < FAILURES_UNTIL_DOWN:
        assert world.worker.state.up is None
        world.clock.forward(world.worker.step())
    assert world.worker.state.up is False
    world.run(HOUR)  # type: ignore[unreachable]  # the state changed since it was narrowed above
    state = world.worker.state
    assert (state.up, state.failing_since, state.problem) == (True, None, "")
    assert state.counts["retried"] == FAILURES_UNTIL_DOWN


def test_a_single_failure_takes_no_channel_down() -> None:
    world = World(FAILED, ACCEPTED)
    world.happens(firing(incident()))
    world.run(HOUR)
    assert world.worker.state.up is True


def test_a_channel_that_is_down_says_since_when_and_why_and_what_waits() -> None:
    world = World(FAILED)
    world.happens(firing(incident()))
    with capture_logs() as logs:
        world.run(HOUR)
    state = world.worker.state
    assert state.up is False
    assert (state.failing_since, state.problem) == (NOON + 30.0, FAILED.problem)
    assert (state.queue_length, state.oldest_at) == (1, NOON)
    assert [log["event"] for log in logs] == ["notification.failed"], "one line an outage, not one a failure"


def down() -> Incident:
    """Return the incident of the channel itself."""
    fields: dict[str, Any] = {"venue": None, "station_id": None, "station": None, "details": {"channel": "shift"}}
    return incident(IncidentKind.CHANNEL_DOWN, brand="", **fields)


def test_a_channel_that_is_down_is_tried_while_nothing_waits_so_that_somebody_knows_that_it_works_again() -> None:
    world = World(FAILED, timing=Timing(max_age=HOUR))
    world.is_reported_down = True
    world.happens(firing(incident()))
    world.run(2 * HOUR)
    assert (world.worker.state.up, world.worker.state.queue_length) == (False, 0)
    world.service.outcomes = [ACCEPTED]
    world.run(LONGEST_BACKOFF * 1.25)
    assert world.worker.state.up
    assert world.titles == ["Messages to the channel shift are delivered again"]
    world.run(DAY)
    assert len(world.titles) == 1


def test_a_channel_that_was_down_is_tried_at_once_after_a_restart_and_not_without_its_incident() -> None:
    world = World()
    world.is_reported_down = True
    world.run(MINUTE)
    assert world.titles == ["Messages to the channel shift are delivered again"]
    other = World()
    other.run(DAY)
    assert other.service.attempts == 0


def test_what_waits_for_a_channel_that_is_down_needs_no_other_message() -> None:
    world = World(FAILED)
    world.is_reported_down = True
    world.happens(firing(incident()))
    world.run(HOUR)
    world.service.outcomes = [ACCEPTED]
    world.run(HOUR)
    assert world.titles == [INACTIVE]


def test_somebody_who_says_that_a_channel_is_repaired_is_believed() -> None:
    world = World(FAILED)
    world.happens(firing(incident()))
    world.run(2 * HOUR)
    world.service.outcomes = [ACCEPTED]
    world.worker.retry()
    world.run(1.0)
    assert world.titles == [INACTIVE]


def test_a_service_that_never_answers_takes_the_channel_down() -> None:
    world = World()
    seen = []

    def send(_: Message) -> Outcome:
        world.clock.forward(STUCK_SECONDS - 1.0)
        seen.append(world.worker.state.up)
        world.clock.forward(2.0)
        seen.append(world.worker.state.up)
        return ACCEPTED

    world.service.send = send  # type: ignore[assignment,method-assign]
    world.happens(firing(incident()))
    world.run(2 * MINUTE)
    assert seen == [None, False]
    assert world.worker.state.up is True


def test_only_the_brands_of_this_process_are_reported() -> None:
    world = World(owns=lambda brand: brand == "other")
    world.happens(firing(incident()), firing(incident(brand="other", station="Bar")))
    world.run(MINUTE)
    assert world.titles == ["Bar has been inactive since 08:00 UTC, Gəncə"]
    assert len(world.outbox.deliveries("shift")) == 2


def test_a_brand_that_is_lost_while_its_message_is_written_is_not_reported() -> None:
    asked = itertools.count()
    world = World(timing=Timing(group_wait=0.0), owns=lambda _: next(asked) == 0)
    world.happens(firing(incident()))
    world.run(MINUTE)
    assert not world.service.attempts
    assert world.worker.state.counts == {"sent": 0, "retried": 0, "expired": 0, "merged": 0}


def test_a_url_that_cannot_be_used_is_a_failure_that_does_not_show_it() -> None:
    world = World()

    def broken(_: str) -> FakeTransport:
        raise ValueError("this is no Apprise URL")

    world.worker._make_transport = broken  # type: ignore[assignment]
    world.happens(firing(incident()))
    world.run(MINUTE)
    assert world.worker.state.problem == "the URL cannot be used: this is no Apprise URL"
    assert "marked" not in repr(world.worker.settings)


faults = st.lists(st.sampled_from([ACCEPTED, FAILED, replace(FAILED, retry_after=40.0)]), min_size=1, max_size=12)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("fire"), st.integers(0, 5)),
        st.tuples(st.just("end"), st.integers(0, 5)),
        st.tuples(st.just("run"), st.floats(0.1, 4000.0)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("lose the mark"), st.just(0)),
    ),
    max_size=40,
)


class Listener(FakeTransport):
    """A service that understands what it was sent: which incidents it was notified of, and which are over."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__(*outcomes)
        self.heard: list[str] = []

    def send(self, message: Message) -> Outcome:
        outcome = super().send(message)
        if outcome.accepted:
            lines = message.body.splitlines() if message.title[0].isdigit() else [message.title]
            self.heard += [
                line.removeprefix("• ") for line in lines if " has been " in line or " is " in line or " was " in line
            ]
        return outcome


@given(faults, moves)
def test_nothing_is_missing_or_invented_whatever_happens(
    outcomes: list[Outcome], history: list[tuple[str, Any]]
) -> None:
    world = World(timing=Timing(max_age=10 * DAY))  # nothing is given up, however often it fails
    world.service = service = Listener(outcomes)
    world.restart()
    open_: dict[int, Any] = {}
    begun: list[str] = []
    number = 0
    lost_marks = False
    for what, value in history:
        if what == "fire" and value not in open_:
            number += 1
            open_[value] = incident(station_id=str(value), station=f"S{number}.", seconds=world.clock.wall() - NOON)
            begun.append(open_[value].station)
            world.happens(firing(open_[value]))
        elif what == "end" and value in open_:
            world.happens(resolved(open_.pop(value), world.clock.wall()))
        elif what == "run":
            world.run(value)
        elif what == "restart":
            world.restart()
        elif what == "lose the mark":
            # As by kill -9 between the acceptance and its mark: the next process finds the outbox as it was.
            lost_marks = True
            kept = dict(world.outbox._rows)
            world.run(60.0)
            world.outbox._rows = kept
            world.restart()
        accepted = [
            row.incident.station for row in world.outbox.deliveries("shift") if row.state is DeliveryState.ACCEPTED
        ]
        assert all(any(line.startswith(f"{name} has been inactive") for line in service.heard) for name in accepted)
    service.outcomes = [ACCEPTED]
    world.run(2 * HOUR)
    assert {row.state for row in world.outbox.deliveries("shift")} <= {DeliveryState.ACCEPTED}
    firing_now = {one.station for one in open_.values()}
    for name in begun:
        emitted = [line for line in service.heard if line.startswith(f"{name} has been inactive")]
        ended = [line for line in service.heard if line.startswith((f"{name} is active", f"{name} was inactive"))]
        assert emitted or ended, "missing"
        assert bool(ended) == (name not in firing_now)
        if not lost_marks:
            assert len(emitted) <= 1
            assert len(ended) <= 1
