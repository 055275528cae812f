"""What happens to a station or venue in Clopos, as the metrics and the log show it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from harness import Exporter, configuration, station_labels

from exporter.simulator import Simulator, World
from exporter.simulator.messages import encode

SCENARIOS = 15
VENUE, OTHER_VENUE = "1", "2"
STATION = "3"


class Stage(NamedTuple):
    """One process that watches a brand for each scenario."""

    simulator: Simulator
    exporter: Exporter
    unused: Iterator[str]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    world = World()
    for number in range(SCENARIOS):
        brand = f"brand-{number}"
        world.add_brand(brand)
        for venue in (VENUE, OTHER_VENUE):
            world.add_venue(brand, f"Nizami küçəsi {venue}", id=venue)
            for name, kind in (("Tandır", 1), ("Bar", 0), ("Горячий цех", 1), ('Pizza "Napoli"', 0)):
                world.add_station(brand, venue, name, type=kind)
    # A token that ends soon would be an incident.
    with Simulator(world, tiers=None, token_lifetime=365 * 86400) as simulator:
        brands = [{"brand": b, "token": simulator.tokens.issue(b)[0], "base_url": simulator.url} for b in world.brands]
        config = configuration(simulator, brands=brands)
        with Exporter(tmp_path_factory.mktemp("stage"), config) as exporter:
            exporter.until_ready(2 * SCENARIOS)
            yield Stage(simulator, exporter, iter(world.brands))


@pytest.fixture
def brand(stage: Stage) -> str:
    """A brand whose venues nothing happened to yet."""
    return next(stage.unused)


def test_a_station_that_is_switched_off_is_reported_shown_and_counted(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    before = exporter.metrics()
    labels = station_labels(simulator, brand, VENUE, STATION)
    assert before.value("clopos_station_active", **labels) == 1
    assert before.value("clopos_station_last_transition_timestamp_seconds", **labels) is None

    simulator.world.set_status(brand, VENUE, STATION, 0)

    event = exporter.until_event("station.deactivated", brand=brand)
    assert event["level"] == "warning"
    assert labels.items() <= event.items()
    assert event["updated_at"] == simulator.world.station(brand, VENUE, STATION)["updated_at"]
    assert event["observed_at"] >= event["updated_at"]
    assert event["previous_for_at_least_seconds"] > 0
    after = exporter.until_value(0, "clopos_station_active", **labels)  # The event comes a moment before.
    venue = {"brand": brand, "venue_id": VENUE}
    kind = {**venue, "kind": labels["kind"]}
    assert after.value("clopos_station_last_transition_timestamp_seconds", **labels) is not None
    assert after.total("clopos_stations_active", **venue) == 3
    assert after.total("clopos_stations", **venue) == 4
    assert after.value("clopos_station_transitions_total", to="inactive", **kind) == 1
    assert after.value("clopos_station_transitions_total", to="active", **kind) == 0
    assert after.total("clopos_station_transitions_total", brand=brand, venue_id=OTHER_VENUE) == 0


def test_a_station_that_comes_back_is_reported_with_how_long_it_was_inactive(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    simulator.world.set_status(brand, VENUE, STATION, 0)
    off = exporter.until_event("station.deactivated", brand=brand)
    simulator.world.set_status(brand, VENUE, STATION, 1)
    on = exporter.until_event("station.activated", brand=brand)
    assert on["level"] == "info"
    assert 0.5 < on["previous_for_seconds"] < 10
    assert on["observed_at"] > off["observed_at"]
    samples = exporter.until_value(1, "clopos_station_active", brand=brand, venue_id=VENUE, station_id=STATION)
    assert samples.total("clopos_station_transitions_total", brand=brand, to="active") == 1


def test_a_renamed_station_has_its_series_under_the_new_name_alone(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    old = station_labels(simulator, brand, VENUE, STATION)
    simulator.world.edit(brand, VENUE, STATION, name="Soyuq sex")
    event = exporter.until_event("station.renamed", brand=brand)
    assert (event["station"], event["previous"]) == ("Soyuq sex", old["station"])
    samples = exporter.until_value(1, "clopos_station_active", **{**old, "station": "Soyuq sex"})
    assert samples.value("clopos_station_active", **old) is None


def test_a_station_of_another_kind_is_counted_there(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    simulator.world.edit(brand, VENUE, STATION, type=0)
    event = exporter.until_event("station.kind_changed", brand=brand)
    assert (event["kind"], event["previous"]) == ("other", "kitchen")
    labels = {"brand": brand, "venue_id": VENUE}
    samples = exporter.until_value(1, "clopos_stations", kind="kitchen", **labels)
    assert samples.value("clopos_stations", kind="other", **labels) == 3
    assert samples.label_values("clopos_station_active", "kind", station_id=STATION, **labels) == {"other"}


def test_a_station_that_stops_printing_is_reported_and_shown(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    labels = {"brand": brand, "venue_id": VENUE, "station_id": STATION}
    simulator.world.edit(brand, VENUE, STATION, printable=0)
    event = exporter.until_event("station.printing_disabled", brand=brand)
    assert (event["level"], event["previous"]) == ("warning", True)
    samples = exporter.until_value(0, "clopos_station_printable", **labels)
    assert samples.total("clopos_stations_printable", brand=brand, venue_id=VENUE) == 3
    simulator.world.edit(brand, VENUE, STATION, printable=1)
    event = exporter.until_event("station.printing_enabled", brand=brand)
    assert (event["level"], event["previous"]) == ("info", False)


def test_a_station_that_was_only_edited_is_reported_as_touched(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    simulator.world.touch(brand, VENUE, STATION)
    event = exporter.until_event("station.touched", brand=brand)
    row = simulator.world.station(brand, VENUE, STATION)
    assert (event["station_id"], event["updated_at"]) == (STATION, row["updated_at"])
    assert exporter.events("station.", brand=brand) == [event]


def test_off_and_on_between_two_polls_is_reported_as_touched(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    with simulator.world.lock:
        simulator.world.set_status(brand, VENUE, STATION, 0)
        simulator.world.set_status(brand, VENUE, STATION, 1)
    exporter.until_event("station.touched", brand=brand)
    assert len(exporter.events("station.", brand=brand)) == 1


def test_a_new_station_is_reported_and_has_series(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    station = simulator.world.add_station(brand, VENUE, "Qəlyan")
    event = exporter.until_event("station.added", brand=brand)
    labels = station_labels(simulator, brand, VENUE, station)
    assert labels.items() <= event.items()
    samples = exporter.until_value(1, "clopos_station_active", **labels)
    assert samples.total("clopos_stations", brand=brand, venue_id=VENUE) == 5
    assert not exporter.events("station.found_inactive", brand=brand)


def test_a_new_station_that_is_inactive_is_reported_as_such(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    station = simulator.world.add_station(brand, VENUE, "Terrace", status=0)
    exporter.until_event("station.found_inactive", brand=brand, station_id=station)
    assert len(exporter.events("station.added", brand=brand)) == 1
    samples = exporter.until_value(0, "clopos_station_active", brand=brand, venue_id=VENUE, station_id=station)
    assert samples.total("clopos_station_transitions_total", brand=brand) == 0


def test_a_removed_station_is_reported_after_two_polls_and_its_series_go(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    labels = station_labels(simulator, brand, VENUE, STATION)
    with simulator.world.lock:
        simulator.world.remove_station(brand, VENUE, STATION)
        seen = simulator.traffic.entries(brand=brand)[-1].seq
    event = exporter.until_event("station.removed", brand=brand)
    assert labels.items() <= event.items()
    polls = simulator.traffic.entries(seen, endpoint="stations", brand=brand, venue=VENUE)
    assert len(polls) == 2
    samples = exporter.until_value(None, "clopos_station_active", **labels)
    assert not [name for name in samples.names if samples.all(name, **labels)]
    assert samples.total("clopos_stations", brand=brand, venue_id=VENUE) == 3


@pytest.mark.slow
def test_a_station_missing_from_one_answer_was_never_gone(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    rows = [row for row in simulator.world.stations(brand, VENUE) if str(row["id"]) != STATION]
    without = {"data": rows, "total": len(rows)}
    simulator.faults.add("fields", endpoint="stations", brand=brand, venue=VENUE, count=1, set=without)
    exporter.until_polled(3, brand=brand, venue_id=VENUE)
    samples = exporter.metrics()
    assert samples.value("clopos_station_active", **station_labels(simulator, brand, VENUE, STATION)) == 1
    assert samples.value("clopos_venue_poll_failures_total", brand=brand, venue_id=VENUE) == 0
    assert not exporter.events("", brand=brand)


def test_a_status_that_is_neither_is_nan_and_no_event(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    text = encode({**simulator.world.station(brand, VENUE, STATION), "status": 7, "printable": None})
    simulator.world.serve_raw(brand, VENUE, STATION, text)
    labels = station_labels(simulator, brand, VENUE, STATION)
    exporter.until(lambda: math.isnan(exporter.metrics().value("clopos_station_active", **labels) or 0), "NaN")
    samples = exporter.metrics()
    assert math.isnan(samples.value("clopos_station_printable", **labels) or 0)
    assert samples.total("clopos_stations_active", brand=brand, venue_id=VENUE) == 3
    assert samples.total("clopos_stations", brand=brand, venue_id=VENUE) == 4

    simulator.world.serve_raw(brand, VENUE, STATION, None)
    exporter.until_value(1, "clopos_station_active", **labels)
    assert not exporter.events("station.", brand=brand)


@pytest.mark.slow
def test_a_new_venue_is_found_and_reported(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    with simulator.world.lock:
        venue = simulator.world.add_venue(brand, "Sumqayıt")
        simulator.world.add_station(brand, venue, "Bar")
    event = exporter.until_event("venue.added", brand=brand)
    assert (event["venue_id"], event["venue"], event["level"]) == (venue, "Sumqayıt", "info")
    exporter.until_value(1, "clopos_venue_up", brand=brand, venue_id=venue, venue="Sumqayıt")
    assert not exporter.events("station.", brand=brand)


@pytest.mark.slow
def test_a_removed_venue_is_reported_after_two_discoveries_and_its_series_go(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    with simulator.world.lock:
        simulator.world.remove_venue(brand, OTHER_VENUE)
        seen = simulator.traffic.entries(brand=brand)[-1].seq
    event = exporter.until_event("venue.removed", brand=brand)
    assert (event["venue_id"], event["level"]) == (OTHER_VENUE, "info")
    assert len(simulator.traffic.entries(seen, endpoint="venues", brand=brand)) == 2
    samples = exporter.until_value(None, "clopos_venue_up", brand=brand, venue_id=OTHER_VENUE)
    assert not [name for name in samples.names if samples.all(name, brand=brand, venue_id=OTHER_VENUE)]
    assert samples.value("clopos_venue_up", brand=brand, venue_id=VENUE) == 1
    assert not exporter.events("station.", brand=brand)


@pytest.mark.slow
def test_a_renamed_venue_has_its_series_under_the_new_name_alone(stage: Stage, brand: str) -> None:
    simulator, exporter, _ = stage
    labels = {"brand": brand, "venue_id": VENUE}
    before = exporter.metrics().value("clopos_venue_polls_total", **labels)
    simulator.world.rename_venue(brand, VENUE, "Gənclik Mall")
    samples = exporter.until_value(1, "clopos_venue_up", venue="Gənclik Mall", **labels)
    for name in ("clopos_venue_polls_total", "clopos_station_active", "clopos_stations"):
        assert samples.label_values(name, "venue", **labels) == {"Gənclik Mall"}
    assert (samples.value("clopos_venue_polls_total", **labels) or 0) > (before or 0)
    assert not exporter.events("", brand=brand)
