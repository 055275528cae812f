"""From a switch in Clopos to a message on somebody's phone: every program is the real one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from alerting import FASTER, Alertmanager, Prometheus, Receiver, Server, free_port, until
from harness import Exporter, configuration
from receivers import Service

from exporter.simulator import Simulator, Tiers, World

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("alerting")]

BRAND = "tandir-group"
VENUES = 10
GRILL, BAR = "1", "2"
SENTENCES = {
    "CloposKitchenStationInactive": ("Tandır has been inactive since", "Tandır is active again"),
    "CloposVenueNoActiveStation": ("All stations of", "has an active station again"),
    "CloposStationPrintingDisabled": (
        "Printing has been switched off at Tandır since",
        "Printing is switched on again at Tandır",
    ),
}
"""What the exporter's own message says as an alert fires, and as it is resolved."""
SHOWN = {
    "opening_hours": "24/7",
    "time_zone": "Asia/Baku",
    "venue_overrides": {"10": {"opening_hours": "Mo-Su 00:00-23:59", "ignore_stations": ["Bar"]}},
}


class Stage(NamedTuple):
    simulator: Simulator
    exporter: Exporter
    prometheus: Prometheus
    alertmanager: Alertmanager
    receiver: Receiver
    phone: Service
    config: dict[str, Any]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, program: Callable[..., str]) -> Iterator[Stage]:
    programs = program("prometheus"), program("prometheus-alertmanager", "alertmanager")
    folder = tmp_path_factory.mktemp("alerting")
    world = World()
    world.add_brand(BRAND)
    for number in range(1, VENUES + 1):
        venue = world.add_venue(BRAND, f"Nizami {number}")
        world.add_station(BRAND, venue, "Tandır", type=1, id=GRILL)
        world.add_station(BRAND, venue, "Bar", type=0, id=BAR)
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(world, tiers=Tiers(brand=1000)))
        phone = stack.enter_context(Service())
        brand = {**simulator.credentials(BRAND), "base_url": simulator.url, "requests_per_minute": 300}
        config = configuration(
            simulator,
            brands=[{**brand, **SHOWN}],
            stale_after="10s",
            incidents={"delay": "5s"},
            state={"path": str(folder / "state.db")},
            notifications={"group_wait": "1s", "channels": [{"name": "shift", "url": phone.json_url}]},
        )
        exporter = Exporter(folder / "exporter", config)
        exporter._arguments[1] = f"--web.listen-address=127.0.0.1:{free_port()}"  # the same after a restart
        stack.enter_context(exporter)
        exporter.until_ready(VENUES, seconds=60)
        receiver = stack.enter_context(Receiver())
        alertmanager = stack.enter_context(Alertmanager(programs[1], folder / "alertmanager", receiver))
        prometheus = stack.enter_context(
            Prometheus(programs[0], folder / "prometheus", [exporter.url], alertmanager.url)
        )
        time.sleep(5)  # so that what comes is a change
        yield Stage(simulator, exporter, prometheus, alertmanager, receiver, phone, config)


def quiet(stage: Stage) -> float:
    """Switch everything on, wait until nothing fires, and return the moment.

    All tests of this file together switch a station four times at the most: six times within an hour are flapping, an
    incident that lasts for half an hour.
    """
    for number in range(1, VENUES + 1):
        stage.simulator.world.serve_raw(BRAND, str(number), GRILL, None)
        stage.simulator.world.set_status(BRAND, str(number), GRILL, 1)
    until(lambda: not stage.prometheus.firing(audience="business"), f"quiet, among {stage.prometheus.firing()}", 120)
    time.sleep(2)
    assert stage.prometheus.firing(audience="business") == []
    return time.monotonic()


def test_a_station_that_is_switched_off_pages_and_resolves_when_it_is_on(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    began = quiet(stage)
    stage.simulator.world.set_status(BRAND, "3", GRILL, 0)
    page = stage.receiver.wait_for("Kitchen station Tandır of Nizami 3 is inactive in Clopos", began)
    assert page.channel == "#shift"
    assert "Orders for it do not reach the kitchen" in page.text
    assert "mətbəx" in page.text
    assert "кухонная станция" in page.text
    assert "/runbooks/CloposKitchenStationInactive.md" in page.text

    switched_on = time.monotonic()
    stage.simulator.world.set_status(BRAND, "3", GRILL, 1)
    over = stage.receiver.wait_for("No longer reported: Kitchen station Tandır of Nizami 3", switched_on)
    assert len(stage.receiver.since(began)) == 2
    measured = f"off to page {page.at - began:.1f} s, on to all-clear {over.at - switched_on:.1f} s"
    with capsys.disabled():
        print(f"\n{measured}, with the waits of rules and Alertmanager divided by {FASTER}")  # noqa: T201 - it is asked for


def test_the_own_messages_and_those_of_alertmanager_say_the_same(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet(stage)
    world, number, alerts = stage.simulator.world, len(stage.phone.received), len(stage.receiver.alerts)

    def own(status: str) -> set[Notice]:
        """Return what the messages of the exporter say."""
        return {
            Notice(alert, line.rpartition("Nizami ")[2].split()[0], status)
            for line in sentences(stage.phone.received[number:])
            for alert, words in SENTENCES.items()
            if words[status == "resolved"] in line
        }

    def others(status: str) -> set[Notice]:
        """Return what the messages of Alertmanager say."""
        return {
            Notice(one["labels"]["alertname"], one["labels"]["venue_id"], status)
            for one in stage.receiver.alerts[alerts:]
            if one["status"] == status
        }

    def expect(what: Notice) -> None:
        began = time.monotonic()
        until(lambda: what in own(what.status), f"{what} in {stage.phone.received[number:]}", 90)
        took = time.monotonic() - began
        until(lambda: what in others(what.status), f"{what} in {stage.receiver.alerts[alerts:]}", 90)
        with capsys.disabled():
            print(f"\n{what}: own {took:.1f} s, Alertmanager {time.monotonic() - began:.1f} s")  # noqa: T201

    for alert, venue, begin, end in (
        ("CloposKitchenStationInactive", "1", partial(switch, world, "1", 0), partial(switch, world, "1", 1)),
        ("CloposVenueNoActiveStation", "7", partial(switch_all, world, "7", 0), partial(switch_all, world, "7", 1)),
        (
            "CloposStationPrintingDisabled",
            "2",
            partial(world.edit, BRAND, "2", GRILL, printable=0),
            partial(world.edit, BRAND, "2", GRILL, printable=1),
        ),
    ):
        begin()
        expect(Notice(alert, venue, "firing"))
        end()
        expect(Notice(alert, venue, "resolved"))
    time.sleep(6)  # in which more would come
    for status in ("firing", "resolved"):
        assert own(status) == others(status)
        assert len(own(status)) == len(SENTENCES)
    assert len(stage.phone.received) == number + 2 * len(SENTENCES), "one message each"


class Notice(NamedTuple):
    alert: str
    venue: str
    status: str


def sentences(messages: list[dict[str, Any]]) -> list[str]:
    """Return a line for each thing that the exporter's messages say."""
    found = []
    for message in messages:
        listed = [line for line in message["message"].splitlines() if line.startswith("•")]
        found += listed if message["title"][0].isdigit() else [message["title"].replace(",", " ") + " "]
    return found


def switch(world: World, venue: str, status: int) -> None:
    world.set_status(BRAND, venue, GRILL, status)


def switch_all(world: World, venue: str, status: int) -> None:
    with world.lock:
        for station in (GRILL, BAR):
            world.set_status(BRAND, venue, station, status)


def test_many_venues_at_once_are_one_message_and_a_single_among_them_is_another(stage: Stage) -> None:
    began = quiet(stage)
    world = stage.simulator.world
    for number in range(1, VENUES):
        world.set_status(BRAND, str(number), GRILL, 0)
    stage.receiver.wait_for("Stations of many venues of tandir-group were switched off at once", began)
    # One more, that somebody switched off before and which is seen only now.
    for status, minutes in ((1, 30), (0, 20)):
        edited = (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        row = {**world.station(BRAND, "10", GRILL), "status": status, "updated_at": edited}
        world.serve_raw(BRAND, "10", GRILL, json.dumps(row))
        stage.exporter.until_polled(2, venue_id="10")
    stage.receiver.wait_for("Kitchen station Tandır of Nizami 10 is inactive in Clopos", began)
    time.sleep(8)
    assert len(stage.receiver.since(began)) == 2
    world.serve_raw(BRAND, "10", GRILL, None)
    stage.receiver.wait_for("No longer reported: Kitchen station Tandır of Nizami 10", began)
    assert "CloposManyVenuesInactive" in stage.prometheus.firing()
    for number in range(1, VENUES):
        world.set_status(BRAND, str(number), GRILL, 1)
    stage.receiver.wait_for("No longer reported: Stations of many venues", began)
    assert len(stage.receiver.since(began)) == 4


def test_a_renamed_station_keeps_its_page(stage: Stage) -> None:
    began = quiet(stage)
    stage.simulator.world.set_status(BRAND, "4", GRILL, 0)
    stage.receiver.wait_for("Kitchen station Tandır of Nizami 4", began)
    stage.simulator.world.edit(BRAND, "4", GRILL, name="Manqal")
    stage.exporter.until_event("station.renamed", venue_id="4", seconds=60)
    time.sleep(6)
    assert len(stage.receiver.since(began)) == 1
    stage.simulator.world.set_status(BRAND, "4", GRILL, 1)
    stage.receiver.wait_for("No longer reported: Kitchen station", began)


def test_no_program_that_restarts_repeats_or_resolves_a_page(stage: Stage) -> None:
    began = quiet(stage)
    stage.simulator.world.set_status(BRAND, "5", GRILL, 0)
    stage.receiver.wait_for("Kitchen station Tandır of Nizami 5", began)
    programs: tuple[Exporter | Server, ...] = stage.exporter, stage.prometheus, stage.alertmanager
    for one in programs:
        one.stop()
        one.start()
        stage.exporter.until_ready(VENUES, seconds=60)
        until(lambda: "CloposKitchenStationInactive" in stage.prometheus.firing(), "the alert", 60)
        time.sleep(6)
        assert len(stage.receiver.since(began)) == 1, type(one).__name__
    stage.simulator.world.set_status(BRAND, "5", GRILL, 1)
    stage.receiver.wait_for("No longer reported: Kitchen station", began)


def test_closing_is_silent_and_what_is_still_off_alerts_before_and_at_opening(stage: Stage) -> None:
    began = quiet(stage)
    # It is about noon in the venue, whatever time it is here.
    zone = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
    stage.simulator.world.set_status(BRAND, "6", GRILL, 0)
    stage.receiver.wait_for("Kitchen station Tandır of Nizami 6 is inactive in Clopos", began)

    def opening_hours(hours: str) -> None:
        config = deepcopy(stage.config)
        config["brands"][0]["venue_overrides"]["6"] = {"opening_hours": hours, "time_zone": zone}
        stage.exporter.configure(config)
        assert stage.exporter.reload().status == 200

    def soon() -> str:
        return f"{datetime.now(ZoneInfo(zone)) + timedelta(seconds=75):%H:%M}"

    opening_hours(f"Mo-Su 01:00-{soon()}")
    stage.exporter.until_event("incident.resolved", venue_id="6", ended="closed", seconds=120)
    time.sleep(10)
    assert len(stage.receiver.since(began)) == 1, "nobody is notified that it is over"
    opening_hours(f"Mo-Su {soon()}-23:00")
    stage.receiver.wait_for("Station Tandır of Nizami 6 is not ready for opening", began)
    until(lambda: "CloposKitchenStationInactive" in stage.prometheus.firing(venue_id="6"), "the alert at opening", 120)
    time.sleep(10)
    # The page of before was never called over: Alertmanager repeats it after the repeat_interval, an hour.
    assert len(stage.receiver.since(began)) == 2, "nobody is notified that it is ready"
    stage.simulator.world.set_status(BRAND, "6", GRILL, 1)
    stage.receiver.wait_for("No longer reported: Kitchen station Tandır of Nizami 6", began)
    stage.exporter.configure(stage.config)
    assert stage.exporter.reload().status == 200


def test_clopos_that_does_not_answer_is_reported_to_it_and_to_nobody_else(stage: Stage) -> None:
    began = quiet(stage)
    with stage.simulator.faults.during("status", code=503):
        stage.receiver.wait_for("tandir-group", began)
        time.sleep(25)  # longer than the last values are shown
        assert "CloposBrandUnreachable" in stage.prometheus.firing()
        assert "CloposVenueDataStale" not in stage.prometheus.firing(), "one message for all of it"
        assert stage.receiver.since(began) == []
        assert stage.receiver.since(began, "#it") != []
    stage.exporter.until_event("venue.recovered", seconds=60)
    quiet(stage)
    assert stage.receiver.since(began) == []
