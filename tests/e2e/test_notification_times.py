"""What people read over hours and nights: the real process with the default waits, on a clock that runs faster."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

import pytest
from harness import Exporter, brand_section
from receivers import OK, Answer, Service
from shared_clock import SharedClock

from exporter.simulator import Simulator, World

pytestmark = pytest.mark.slow

BRAND = "tandir-group"
VENUE, GRILL, BAR = "1", "1", "2"
MINUTE = 60.0
DEFAULT_WAITS = 30.0 + 120.0 + 30.0
"""Seconds of the poll interval, the delay of a kitchen station and the group wait."""

FASTER = 120.0
SPEED = float(os.environ.get("SPEED", "20"))
"""How fast time runs where a latency is measured; 1 is real time, and takes as long as it says."""


class Elsewhere(Exporter):
    """An exporter whose clock is that of the test."""

    PROGRAM = (str(Path(__file__).with_name("elsewhere.py")),)


class Restaurant:
    """One venue with a kitchen and a bar, the exporter with its defaults, and the phone that gets the messages."""

    def __init__(
        self, folder: Path, begin: str, *, zone: str = "Asia/Baku", speed: float = FASTER, **settings: Any
    ) -> None:
        self.clock = SharedClock(begin, speed, zone)
        self.phone = Service()
        self.phone.answer = self._answer
        self.messages: list[tuple[float, str, str]] = []
        """When each message came, epoch seconds of the clock, its title and its text."""
        self.world = World(self.clock)
        self.world.add_brand(BRAND)
        self.world.add_venue(BRAND, "Nizami")
        self.world.add_station(BRAND, VENUE, "Mətbəx", type=1, id=GRILL)
        self.world.add_station(BRAND, VENUE, "Bar", type=0, id=BAR)
        self.simulator = Simulator(self.world, tiers=None)
        self._settings, self._zone = settings, zone
        self._folder = folder

    def config(self, **brand: Any) -> dict[str, Any]:
        channel = {"name": "shift", "url": self.phone.json_url, "topics": ["stations", "service"]}
        section = brand_section(self.simulator, BRAND, time_zone=self._zone, **self._settings.get("brand", {}), **brand)
        rest = {key: value for key, value in self._settings.items() if key != "brand"}
        notifications = {"channels": [channel]}
        return {"state": {"path": "state.db"}, "brands": [section], "notifications": notifications, **rest}

    @property
    def titles(self) -> list[str]:
        return [title for _, title, _ in self.messages]

    def shown(self, wall: float) -> str:
        """Return the time of day as the clock on the wall shows it."""
        return datetime.fromtimestamp(wall, ZoneInfo(self._zone)).strftime("%H:%M")

    def shown_soon(self, wall: float) -> list[str]:
        """Return what the clock shows then and in the minutes after it, in which a poll sees what has changed."""
        return [self.shown(wall + minutes * MINUTE) for minutes in range(4)]

    def switch(self, status: int, station: str = GRILL) -> None:
        self.world.set_status(BRAND, VENUE, station, status)

    def until(self, seen: Callable[[], object], what: str, minutes: float = 20.0) -> None:
        """Wait for something that has to come within so many minutes of the clock; a busy machine gets more."""
        self.exporter.until(
            lambda: seen() or None, f"{what} among {self.titles}", seconds=minutes * MINUTE / self.clock.speed + 30.0
        )

    def until_messages(self, count: int) -> None:
        self.until(lambda: len(self.messages) >= count, f"message {count}")

    def _answer(self) -> Answer:
        message = self.phone.seen[-1]
        self.messages.append((self.clock.wall(), message["title"], message["message"]))
        return OK

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.phone)
            stack.enter_context(self.simulator)
            self.exporter = stack.enter_context(Elsewhere(self._folder, self.config(), env=self.clock.env))
            self.exporter.until_ready(1)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


@pytest.fixture
def restaurant(tmp_path: Path) -> Iterator[Callable[..., Restaurant]]:
    with ExitStack() as stack:
        yield lambda begin, **rest: stack.enter_context(Restaurant(tmp_path / "exporter", begin, **rest))


def test_from_switch_to_message_it_takes_the_default_waits_and_no_more(
    restaurant: Callable[..., Restaurant], capsys: pytest.CaptureFixture[str]
) -> None:
    here = restaurant("2026-11-23T19:00", speed=SPEED)
    took: list[float] = []
    back: list[float] = []
    for pause in (3.0, 11.0, 22.0):
        here.clock.sleep_until(here.clock.wall() + pause)  # at another moment between two polls
        for status, times in ((0, took), (1, back)):
            before, at = len(here.messages), here.clock.wall()
            here.switch(status)
            here.until_messages(before + 1)
            times.append(here.messages[-1][0] - at)
    with capsys.disabled():
        print(  # noqa: T201 - it is asked for
            f"\nfrom switch to message, at speed {SPEED:g}: {statistics.median(took):.1f} s, at most {max(took):.1f} s "
            f"({DEFAULT_WAITS:.0f} s are waits); to the end {statistics.median(back):.1f} s, at most {max(back):.1f} s"
        )
    assert len(here.messages) == 6
    assert max(took) <= DEFAULT_WAITS + 1.0 * SPEED  # of what it takes outside
    assert max(back) <= 30.0 + 30.0 + 1.0 * SPEED


def test_a_station_is_reported_when_it_is_no_longer_ignored_and_left_out_where_it_is(
    restaurant: Callable[..., Restaurant],
) -> None:
    ignored = {"ignore_stations": [{"station": "Bar", "until": "2026-11-23"}]}
    here = restaurant("2026-11-23T23:35", brand=ignored)
    midnight = here.clock.at("2026-11-24T00:00")
    here.switch(0, BAR)
    off = here.clock.wall()
    assert off < midnight, "the machine is too slow for this"
    here.until_messages(1)
    assert here.messages[0][0] > midnight
    assert here.titles[0].startswith("Bar has been inactive since ")
    here._settings["brand"] = {"ignore_stations": ["Bar"]}
    here.exporter.configure(here.config())
    assert here.exporter.reload().status == HTTPStatus.OK
    here.until_messages(2)
    assert here.titles[1:] == ["Bar is left out of the alerts now, Nizami"]


def test_a_station_that_is_renamed_while_it_fires_is_reported_no_second_time(
    restaurant: Callable[..., Restaurant],
) -> None:
    here = restaurant("2026-11-23T19:00")
    here.switch(0)
    here.until_messages(1)
    here.world.edit(BRAND, VENUE, GRILL, name="Manqal")
    here.exporter.until_event("station.renamed")
    here.exporter.until_polled(10)
    assert len(here.messages) == 1
    here.switch(1)
    here.until_messages(2)
    assert here.titles[1] == "Mətbəx is active again, Nizami"


def test_a_station_that_is_removed_while_it_fires_gets_no_all_clear(restaurant: Callable[..., Restaurant]) -> None:
    here = restaurant("2026-11-23T19:00")
    here.switch(0)
    here.until_messages(1)
    here.world.remove_station(BRAND, VENUE, GRILL)
    here.until_messages(2)
    here.exporter.until_polled(10)
    assert here.titles[1:] == ["Mətbəx was removed from Clopos, Nizami"]


def test_closing_time_says_nothing_and_at_opening_what_still_holds_is_reported_again(
    restaurant: Callable[..., Restaurant],
) -> None:
    here = restaurant("2026-11-23T16:00")
    closing = here.clock.wall() + 30 * MINUTE
    opening = closing + 40 * MINUTE
    hours = f"Mo-Su 10:00-{here.shown(closing)}, {here.shown(opening)}-23:00"
    here.exporter.configure(here.config(opening_hours=hours))
    assert here.exporter.reload().status == HTTPStatus.OK
    here.switch(0)
    here.until_messages(1)
    assert here.messages[0][0] < closing, "the machine is too slow for this"
    here.exporter.until_event("incident.resolved", ended="closed", seconds=60)
    here.until_messages(2)
    assert here.messages[1][0] > opening - 31 * MINUTE, "closing time was reported"
    assert here.titles[1] == "Mətbəx is still inactive shortly before opening, Nizami"
    here.until_messages(3)
    assert here.messages[2][0] > opening - MINUTE
    assert here.titles[2] == here.titles[0], "since when has not changed"
    here.switch(1)
    here.until_messages(4)
    here.exporter.until_polled(10)
    assert here.titles[3:] == ["Mətbəx is active again, Nizami"]


def test_the_night_in_which_clocks_are_put_back_is_reported_as_the_clock_shows_it(
    restaurant: Callable[..., Restaurant],
) -> None:
    here = restaurant("2026-10-25T02:20", zone="Europe/Berlin", brand={"opening_hours": "Mo-Su 18:00-03:00"})
    three = here.clock.at("2026-10-25T03:00")
    here.clock.sleep_until(three - 80 * MINUTE)
    off = here.clock.wall()
    here.switch(0)
    here.until_messages(1)
    assert off < three - 60 * MINUTE, "the machine is too slow for this"
    assert here.titles[0] in [f"Mətbəx has been inactive since {at}, Nizami" for at in here.shown_soon(off)]
    here.clock.sleep_until(three - 50 * MINUTE)
    on = here.clock.wall()
    here.switch(1)
    here.until_messages(2)
    assert here.shown(on) < here.shown(off), "it is earlier on the clock"
    said = re.fullmatch(r"From (\S+) to (\S+): (\d+) min\.", here.messages[1][2])
    assert said
    assert said[1] in here.shown_soon(off)
    assert said[2] in here.shown_soon(on)
    assert abs(int(said[3]) - (on - off) / MINUTE) <= 3
    here.switch(0)
    here.until_messages(3)
    here.exporter.until_event("incident.resolved", ended="closed", seconds=60)
    assert abs(here.clock.wall() - three) < 10 * MINUTE, "it closes at the only three o'clock there is"
    here.exporter.until_polled(10)
    assert len(here.messages) == 3


def test_what_ended_while_the_exporter_was_down_is_reported_with_the_times_of_clopos(
    restaurant: Callable[..., Restaurant],
) -> None:
    here = restaurant("2026-11-23T19:00")
    here.switch(0)
    here.until_messages(1)
    here.exporter.stop()
    on = here.clock.wall()
    here.switch(1)
    here.clock.sleep_until(on + 40 * MINUTE)
    here.exporter.start()
    here.until_messages(2)
    assert here.titles[1] == "Mətbəx is active again, Nizami"
    lasted = on - here.clock.at("2026-11-23T19:00")
    minutes = int(here.messages[1][2].rpartition(": ")[2].split()[0])
    assert minutes <= lasted / MINUTE + 1, here.messages[1][2]


def test_a_restart_while_it_fires_says_nothing(restaurant: Callable[..., Restaurant]) -> None:
    here = restaurant("2026-11-23T19:00")
    here.switch(0)
    here.until_messages(1)
    for end in (here.exporter.kill, here.exporter.stop):
        end()
        here.clock.sleep_until(here.clock.wall() + 30 * MINUTE)
        here.exporter.start()
        here.exporter.until_ready(1)
        here.exporter.until_polled(10)
    assert here.titles == ["Mətbəx has been inactive since 19:00, Nizami"] or len(here.titles) == 1
    here.switch(1)
    here.until_messages(2)


def test_clopos_away_for_an_hour_is_one_message_and_afterwards_only_what_is_true(
    restaurant: Callable[..., Restaurant],
) -> None:
    here = restaurant("2026-11-23T19:00")
    with here.simulator.faults.during("unavailable"):
        here.switch(0, BAR)
        here.until_messages(1)
        here.switch(0)
        here.clock.sleep_until(here.clock.wall() + 20 * MINUTE)
        here.switch(1, BAR)
        here.clock.sleep_until(here.clock.at("2026-11-23T20:02"))
        assert [title.split(" since")[0] for title in here.titles] == ["No data from Clopos"]
    here.until(lambda: here.titles[-1].startswith("Mətbəx has been inactive since 19:"), "the station that is inactive")
    here.exporter.until_polled(10)
    assert here.titles[1:-1] == ["Data from Clopos again, Nizami"]


def test_the_heartbeat_is_requested_while_all_is_well_stops_otherwise_and_goes_on(tmp_path: Path) -> None:
    with Service() as monitor:
        heartbeat = {"url": f"http://{monitor.address}/ping/marked-0123", "interval": "1m"}
        with Restaurant(tmp_path / "exporter", "2026-11-23T19:00", heartbeat=heartbeat) as here:

            def beats(minutes: float) -> int:
                """Return how many requests come in so many minutes."""
                before = len(monitor.paths)
                here.clock.sleep_until(here.clock.wall() + minutes * MINUTE)
                return len(monitor.paths) - before

            def count(event: str, why: str = "") -> int:
                """Return how often this was logged; what came of the start does not count for what follows."""
                return sum(why in str(one.get("problems")) for one in here.exporter.events(event))

            def until_more(before: int, event: str, why: str = "") -> None:
                here.until(lambda: count(event, why) > before, f"{event} {why}")

            here.until(lambda: len(monitor.paths) >= 2, "heartbeats")
            assert set(monitor.paths) == {"/ping/marked-0123"}
            assert 8 <= beats(10) <= 11
            before = count("heartbeat.withheld", "data is too old")
            with here.simulator.faults.during("unavailable"):
                until_more(before, "heartbeat.withheld", "data is too old")
                before = count("heartbeat.resumed")
                assert beats(10) == 0, "a brand is not fresh"
            until_more(before, "heartbeat.resumed")
            assert beats(10) >= 8
            before = count("heartbeat.withheld", "channel shift is down")
            here.phone.answer_with((500, {}))
            here.switch(0)
            until_more(before, "heartbeat.withheld", "channel shift is down")
            before = count("heartbeat.resumed")
            assert beats(10) == 0, "a channel is down"
            here.phone.answer = here._answer
            until_more(before, "heartbeat.resumed")
            assert beats(10) >= 8
            assert "marked" not in here.exporter.log
