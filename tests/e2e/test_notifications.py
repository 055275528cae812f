"""From a switched station to what people read: the real process, real services, and every way to be interrupted."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Exporter, Start, configuration, run
from receivers import OK, Service, Telegram, error
from shared_clock import SharedClock

from exporter.clock import Clock
from exporter.simulator import Simulator, World

BRAND = "openapitest"
STATE = {"path": "state.db"}
KILLS = int(os.environ.get("KILLS", "12"))
FASTER = 10.0
"""How fast time runs where the process is killed again and again."""

LINE = re.compile(
    r"^(?:• )?(?P<station>.+?) (?P<what>has been inactive since|is active again|was inactive from)\b", re.MULTILINE
)


class Elsewhere(Exporter):
    """An exporter whose Telegram is on loopback, or whose time runs faster."""

    PROGRAM = (str(Path(__file__).with_name("elsewhere.py")),)


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    with Telegram() as telegram:
        yield telegram


@pytest.fixture
def shift() -> Iterator[Service]:
    with Service() as shift:
        yield shift


def notifying(*channels: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """Return the settings of these channels, quick enough for a test."""
    return {
        "state": STATE,
        "stale_after": "3s",
        "incidents": {"delay": "1s"},
        "notifications": {"group_wait": "1s", "channels": list(channels), **rest},
    }


def channel(service: Service, name: str = "shift", **rest: Any) -> dict[str, Any]:
    return {"name": name, "url": service.json_url, **rest}


def said(service: Service) -> list[tuple[str, str]]:
    """Return what was accepted, a pair of station and sentence for each notice, in order."""
    return [notice for message in service.received for notice in notices(message)]


def notices(message: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a pair of station and sentence for each notice of a message."""
    several = message["title"][0].isdigit()
    text = message["message"] if several else message["title"]
    return [(match["station"], match["what"]) for match in LINE.finditer(text)]


def until(seen: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, f"no {what} in {seconds} s"
        time.sleep(0.02)


def restaurants(venues: int = 2, stations: int = 6, clock: Clock | None = None) -> World:
    """Make a brand whose kitchen stations are all active and have names of their own."""
    world = World(clock)
    world.add_brand(BRAND)
    for venue in range(1, venues + 1):
        world.add_venue(BRAND, f"Venue {venue}")
        for station in range(1, stations + 1):
            world.add_station(BRAND, str(venue), f"Grill {venue}-{station}", type=1, status=1)
    return world


@pytest.fixture
def clock() -> SharedClock:
    return SharedClock("2026-11-23T19:00", FASTER)


@pytest.fixture
def fast_simulator(clock: SharedClock) -> Iterator[Simulator]:
    with Simulator(restaurants(clock=clock), tiers=None) as simulator:
        yield simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(restaurants(), tiers=None) as simulator:
        yield simulator


PATHS = ("/", "/metrics", "/api/v1/incidents", "/api/v1/changes", "/api/v1/stations", "/-/ready")
INACTIVE, ACTIVE, WAS = "has been inactive since", "is active again", "was inactive from"
GRILL = "Grill 1-3"


def switch(simulator: Simulator, status: int, venue: str = "1", station: str = "3") -> None:
    simulator.world.set_status(BRAND, venue, station, status)


@pytest.mark.slow
def test_a_station_that_is_switched_off_is_reported_and_its_end_too(
    simulator: Simulator, start: Start, service: Service
) -> None:
    exporter = start(**notifying(channel(service)))
    exporter.until_ready()
    switch(simulator, 0)
    until(lambda: said(service) == [(GRILL, INACTIVE)], "message")
    switch(simulator, 1)
    until(lambda: said(service) == [(GRILL, INACTIVE), (GRILL, ACTIVE)], "end")
    exporter.until_polled(3)
    assert len(service.seen) == 2
    samples = exporter.metrics()
    assert samples.value("clopos_exporter_notifications_total", channel="shift", outcome="sent") == 2
    assert samples.value("clopos_exporter_notification_queue_length", channel="shift") == 0
    assert samples.value("clopos_exporter_notification_channel_up", channel="shift") == 1


@pytest.mark.slow
def test_a_message_has_the_language_of_its_channel(simulator: Simulator, start: Start, service: Service) -> None:
    exporter = start(**notifying(channel(service, language="ru")))
    exporter.until_ready()
    switch(simulator, 0)
    until(lambda: service.received, "message")
    assert service.received[0]["title"].startswith(f"Станция «{GRILL}» отключена с ")
    assert "в панели управления Clopos" in service.received[0]["message"]


@pytest.mark.slow
def test_a_restart_says_nothing_and_what_ended_meanwhile_is_reported_truly(
    simulator: Simulator, start: Start, service: Service
) -> None:
    exporter = start(**notifying(channel(service)))
    exporter.until_ready()
    switch(simulator, 0)
    until(lambda: service.received, "message")
    exporter.stop()
    exporter.start()
    exporter.until_polled(3)
    assert said(service) == [(GRILL, INACTIVE)]
    exporter.stop()
    switch(simulator, 1)
    exporter.start()
    until(lambda: said(service) == [(GRILL, INACTIVE), (GRILL, ACTIVE)], "end")


@pytest.mark.slow
def test_what_was_over_before_anybody_could_be_notified_is_one_message(
    simulator: Simulator, start: Start, service: Service
) -> None:
    service.answer_with("close")
    exporter = start(**notifying(channel(service)))
    exporter.until_ready()
    switch(simulator, 0)
    until(lambda: service.seen, "attempt")
    switch(simulator, 1)
    exporter.until_event("incident.resolved")
    service.answer_with(OK)
    until(lambda: said(service) == [(GRILL, WAS)], "message")


@pytest.mark.slow
def test_telegram_gets_one_message_whatever_it_answered_before(
    fast_simulator: Simulator, clock: SharedClock, tmp_path: Path, telegram: Telegram
) -> None:
    simulator = fast_simulator
    rejections: tuple[Any, ...] = (
        error(429, "Too Many Requests: retry after 1", retry_after=1),
        error(400, f"{telegram.TOKEN}"),
        (502, {}),
    )
    config = configuration(simulator, **notifying({"name": "shift", "url": telegram.url}))
    env = {"TELEGRAM": telegram.address, **clock.env}
    with Elsewhere(tmp_path / "exporter", config, env=env, log_level="debug") as exporter:
        exporter.until_ready()
        for number, answer in enumerate((*rejections, error(403, "Forbidden"), "close", "hang"), 1):
            answers = iter([answer])
            telegram.answer = lambda answers=answers: next(answers, OK)  # type: ignore[misc]
            already = len(telegram.received)
            switch(simulator, 0, station=str(number))
            until(lambda: len(telegram.received) > already, f"message after {answer}", 60.0)  # noqa: B023
            switch(simulator, 1, station=str(number))
            until(lambda: len(telegram.received) > already + 1, f"end after {answer}", 60.0)  # noqa: B023
            texts = telegram.texts[already:]
            assert [text.split(" since")[0].split(",")[0] for text in texts] == [
                f"Grill 1-{number} has been inactive",
                f"Grill 1-{number} {ACTIVE}",
            ]
        seen = [exporter.log, exporter.errors, *(exporter.get(path).text for path in PATHS)]
        assert not [text for text in seen if telegram.TOKEN.partition(":")[2] in text]


@pytest.mark.slow
def test_two_hundred_stations_at_once_are_at_most_two_messages(tmp_path: Path, service: Service) -> None:
    with Simulator(restaurants(1, 210), tiers=None) as simulator:
        with Exporter(tmp_path / "exporter", configuration(simulator, **notifying(channel(service)))) as exporter:
            exporter.until_ready(1)
            for station in range(1, 201):
                switch(simulator, 0, station=str(station))
            until(lambda: service.received, "message")
            exporter.until(
                lambda: exporter.metrics().value("clopos_exporter_notification_queue_length", channel="shift") == 0,
                "an empty queue",
            )
            exporter.until_polled(3)
        assert 1 <= len(service.received) <= 2
        assert len(service.received[0]["message"]) <= 3500


@pytest.mark.slow
def test_clopos_away_is_one_message_for_the_service_and_none_for_the_shift(
    simulator: Simulator, start: Start, service: Service, shift: Service
) -> None:
    exporter = start(**notifying(channel(service, "it", topics=["stations", "service"]), channel(shift)))
    exporter.until_ready()
    with simulator.faults.during("unavailable"):
        switch(simulator, 0)
        until(lambda: service.received, "message", 60.0)
        exporter.until_event("venue.lost", times=2)
        time.sleep(2.0)  # in which more would come
        assert [message["title"].split(" since")[0] for message in service.received] == ["Clopos has been unreachable"]
        assert "Reason: Service unavailable (HTTP 503), for " in service.received[0]["message"]
        switch(simulator, 1)
    until(lambda: len(service.received) == 2, "end", 60.0)
    exporter.until_polled(3)
    assert [message["title"] for message in service.received[1:]] == [f"Clopos can be reached again, {BRAND}"]
    assert not shift.received


@pytest.mark.slow
def test_a_dead_channel_delays_nobody_and_is_reported_on_the_others_once(
    fast_simulator: Simulator, clock: SharedClock, tmp_path: Path, service: Service
) -> None:
    simulator = fast_simulator
    with Service() as dead:
        dead.answer_with("close")
        settings = notifying(channel(dead), channel(service, "it", topics=["stations", "service"]))
        config = configuration(simulator, **settings)
        with Elsewhere(tmp_path / "exporter", config, env=clock.env, log_level="debug") as exporter:
            exporter.until_ready()
            switch(simulator, 0)
            until(lambda: (GRILL, INACTIVE) in said(service), "message on the other channel", 10.0)
            until(
                lambda: exporter.metrics().value("clopos_exporter_notification_channel_up", channel="shift") == 0.0,
                "a channel that is down",
                60.0,
            )
            down = "Messages to the channel shift have not been delivered"
            until(lambda: any(down in message["title"] for message in service.received), "news of it")
            exporter.until_polled(5)
            assert sum(down in message["title"] for message in service.received) == 1
            seen = [exporter.log, *(exporter.get(path).text for path in PATHS)]
            assert not [text for text in seen if "marked-secret" in text or dead.address in text]


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_missing_and_nothing_invented(
    tmp_path: Path, service: Service, clock: SharedClock, fast_simulator: Simulator
) -> None:
    simulator = fast_simulator
    chance = random.Random(7)  # noqa: S311 - runs have to repeat
    answers: list[Any] = [OK, OK, OK, (500, {}), "close"]
    service.answer = lambda: chance.choice(answers)
    config = configuration(simulator, **notifying(channel(service), group_wait="1s"))
    exporter = Elsewhere(tmp_path / "exporter", config, env=clock.env)
    places = [(venue, station) for venue in ("1", "2") for station in ("1", "2", "3")]
    status = dict.fromkeys(places, 1)
    for _ in range(KILLS):
        exporter.start(seconds=90)
        end = time.monotonic() + chance.uniform(0.2, 1.2)
        before = len(service.seen)
        while time.monotonic() < end:
            place = chance.choice(places)
            status[place] = 1 - status[place]
            switch(simulator, status[place], *place)
            time.sleep(chance.uniform(0.01, 0.2))
            if len(service.seen) > before and chance.random() < 0.5:
                break  # around a message
        exporter.kill()
    service.answer = lambda: OK
    for place in places:
        switch(simulator, 1, *place)
    with exporter:
        exporter.until_polled(3)
        exporter.until(
            lambda: (
                exporter.metrics().value("clopos_exporter_notification_queue_length", channel="shift") == 0
                and not exporter.metrics().all("clopos_incident", kind="kitchen_station_inactive")
            ),
            "an end of everything",
            seconds=60,
        )
        firings = Counter(
            event["station"]
            for event in incidents(exporter, "incident.firing")
            if event["incident"] == "kitchen_station_inactive"
        )
    emitted: dict[str, list[str]] = {}
    for station, what in said(service):
        emitted.setdefault(station, []).append(what)
    assert firings.keys() == emitted.keys()
    for station, sentences in emitted.items():
        assert sentences[-1] != INACTIVE, f"{station} was never reported as over"
        ended = sum(what != INACTIVE for what in sentences)
        assert ended >= firings[station], f"{station}: an end is missing"
    doubled = sum(len(sentences) for sentences in emitted.values()) - 2 * sum(firings.values())
    assert doubled <= KILLS


def incidents(exporter: Exporter, name: str) -> list[dict[str, Any]]:
    """Return what the journal says, for the log may repeat an event around a kill."""
    path = exporter.folder / "state.db"
    lines = run("history", f"--state.path={path}", "--limit=1000000", "--output=json", f"--event={name}").stdout
    return [json.loads(line) for line in lines.splitlines()]
