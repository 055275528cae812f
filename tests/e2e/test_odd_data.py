"""Odd, hostile and plenty of data: every row that can be a station is one, in every format that goes out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Exporter, Samples, Start, configuration

from exporter.simulator import SCENARIOS, Simulator, World, simulate

pytestmark = pytest.mark.slow

BRAND = "openapitest"

NAMES = (
    "Tandır",
    "Горячий цех",
    "厨房",
    "مطبخ",
    "🍽️ Şef",
    'Pizza "Napoli"',
    "Kassa \\ çek",
    "back\\slash n: \\n",
    "two\nlines",
    "carriage\r\nreturn",
    "tab\tand\x0bvertical",
    "null\x00byte and \x1b[31mred\x1b[0m",
    "bidi \u202eabc\u2066",
    "separators \u2028 \u2029 \x85",
    '{brand="x"} 1',
    "# EOF",
    " blanks ",
    "<script>alert(1)</script>",
    "e\u0301 and \u00e9",
)


@pytest.fixture
def named(simulator: Simulator) -> Simulator:
    """The small Clopos with a venue of difficult names."""
    venue = simulator.world.add_venue(BRAND, NAMES[0], id="names")
    for name in NAMES:
        simulator.world.add_station(BRAND, venue, name)
    return simulator


@pytest.mark.parametrize("log_format", ["json", "logfmt", "console"])
def test_any_name_goes_through_every_format(named: Simulator, start: Start, log_format: str) -> None:
    exporter = start({"log_format": log_format})
    exporter.until_ready(3)
    for accept in ("text/plain", "application/openmetrics-text"):
        samples = Samples(exporter.get("/metrics", Accept=accept).text, openmetrics="open" in accept)
        assert samples.label_values("clopos_station_active", "station", venue_id="names") == set(NAMES)
    before = len(exporter.log.splitlines())
    for number in range(1, len(NAMES) + 1):
        named.world.set_status(BRAND, "names", str(number), 0)
    exporter.until(lambda: exporter.log.count("station.deactivated") == len(NAMES), "an event for each")
    exporter.stop()
    lines = exporter.log_file.read_bytes().split(b"\n")[before:]
    emitted = [line.decode() for line in lines if b"station.deactivated" in line]
    assert len(emitted) == len(NAMES), "one event, one line"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", "".join(emitted))
    if log_format == "json":
        assert {json.loads(line)["station"] for line in emitted} == set(NAMES)
    assert any("厨房" in line for line in emitted)


def test_every_odd_row_is_the_station_it_can_be(tmp_path: Path) -> None:
    with (
        simulate(SCENARIOS["odd"], tiers=None) as simulator,
        Exporter(tmp_path, configuration(simulator)) as exporter,
    ):
        exporter.until_ready(4)
        samples = exporter.metrics()
        emitted = exporter.until_event("station.unusable_row")
        exporter.until_polled(2, venue_id=emitted["venue_id"])
        assert "No id" in emitted["row"]
        assert len(exporter.events("station.unusable_row")) == 1, "once a row, not once a poll"
        assert exporter.metrics().total("clopos_exporter_unusable_rows_total") >= 2

    def of(name: str) -> dict[str, tuple[str, float | None]]:
        rows = samples.all(name, venue="Odd rows")
        return {has["station_id"]: (has["kind"], None if math.isnan(value) else value) for has, value in rows}

    assert of("clopos_station_active") == {
        "kitchen": ("kitchen", 1),
        "102": ("kitchen", 0),
        "103": ("kitchen", 0),
        "104": ("other", 1),
        "105": ("unknown", 1),
        "106": ("unknown", None),
        "107": ("kitchen", 1),
        "108": ("kitchen", 1),
        "109": ("other", 1),
    }
    printable = {station: value for station, (_, value) in of("clopos_station_printable").items()}
    assert printable == {
        "kitchen": 1, "102": 1, "103": 1, "104": 0, "105": None, "106": 1, "107": 1, "108": 1, "109": 1,
    }  # fmt: skip
    assert of("clopos_station_created_timestamp_seconds") == {"107": ("kitchen", 1768313329)}
    counts = {has["kind"]: value for has, value in samples.all("clopos_stations", venue="Odd rows")}
    assert counts == {"kitchen": 5, "other": 2, "unknown": 2}


HOSTILE = {
    '{"id":1,"name":"%s","status":1,"type":1,"printable":1}' % ("x" * 1_000_000): "1",
    '{"id":"2","name":"\\ud800 half","status":1,"type":1,"printable":1}': "2",
    '{"id":3,"name":{"en":"Bar"},"status":{},"type":[],"printable":[1]}': "3",
    '{"id":4,"name":null,"status":true,"type":true,"printable":"yes"}': "4",
    '{"id":5,"created_at":"0000-00-00T00:00:00Z","updated_at":"9999-12-31T23:59:59.999999Z"}': "5",
    '{"id":6,"created_at":"0001-01-01T00:00:00Z","updated_at":"10000-01-01T00:00:00Z"}': "6",
    '{"id":7,"created_at":"9999-12-31T23:59:59-14:00","updated_at":-1}': "7",
    '{"id":8,"status":1e400,"type":NaN,"printable":-Infinity}': "8",
    '{"id":9,"status":1,"status":0,"type":1,"type":0}': "9",
    '{"id":"a/b?c=d&e#f","name":"Path"}': "a/b?c=d&e#f",
    '{"id":9223372036854775808,"name":"Too large"}': None,
    '{"id":1.5,"name":"Fraction"}': None,
    '{"id":true,"name":"Bool"}': None,
    '{"id":"","name":"Empty"}': None,
    '{"id":[1],"name":"List"}': None,
    "null": None,
    "[]": None,
    '"text"': None,
    "[" * 200 + "]" * 200: None,
}


def test_hostile_rows_cost_a_line_and_nothing_else(simulator: Simulator, start: Start) -> None:
    venue = simulator.world.add_venue(BRAND, "Hostile")
    for row in HOSTILE:
        simulator.world.serve_raw(BRAND, venue, simulator.world.add_station(BRAND, venue, "Row"), row)
    exporter = start()
    exporter.until_value(1, "clopos_venue_up", brand=BRAND, venue_id=venue)
    exporter.until_polled(2)
    samples = exporter.metrics()
    usable = {station for station in HOSTILE.values() if station}
    assert samples.label_values("clopos_station_active", "station_id", venue_id=venue) == usable
    assert len(exporter.events("station.unusable_row")) == len(HOSTILE) - len(usable)
    assert all(len(line) < 2000 for line in exporter.log.splitlines())
    text = exporter.get("/metrics", Accept="application/openmetrics-text").text
    assert Samples(text, openmetrics=True).names == samples.names


def test_an_id_that_changes_its_type_is_the_same_station(simulator: Simulator, start: Start) -> None:
    exporter = start()
    exporter.until_ready()
    row = {**simulator.world.station(BRAND, "1", "3"), "id": "3"}
    simulator.world.serve_raw(BRAND, "1", "3", json.dumps(row))
    exporter.until_polled(3)
    assert not exporter.events("station.")


@pytest.fixture(params=[450, 3_000])
def large(request: pytest.FixtureRequest) -> Iterator[tuple[Simulator, int]]:
    """One venue of that many stations."""
    world = World()
    world.add_brand(BRAND)
    world.add_venue(BRAND, "Large")
    for number in range(1, request.param + 1):
        world.add_station(BRAND, "1", f"Station {number}", type=number % 2)
    with Simulator(world, tiers=None) as simulator:
        yield simulator, request.param


def test_a_venue_of_many_pages_is_read_whole(large: tuple[Simulator, int], tmp_path: Path) -> None:
    simulator, size = large
    pages = math.ceil(size / 200)
    with Exporter(tmp_path, configuration(simulator, poll_interval="20s")) as exporter:
        exporter.until_ready(1, seconds=60)
        samples = exporter.metrics()
        asked = simulator.traffic.entries(endpoint="stations")
        assert {entry.page for entry in asked} == set(range(1, pages + 1))
        assert len(samples.all("clopos_station_active")) == size
        assert samples.total("clopos_stations") == size
        exporter.configure(configuration(simulator))
        exporter.reload()
        with simulator.world.lock:
            simulator.world.remove_station(BRAND, "1", "7")
            simulator.world.set_status(BRAND, "1", str(size), 0)
        emitted = exporter.until_event("station.deactivated", seconds=60)
        assert emitted["station_id"] == str(size)
        assert exporter.until_event("station.removed", seconds=60)["station_id"] == "7"
        assert len(exporter.events("station.")) == 2
        assert exporter.metrics().total("clopos_venue_poll_failures_total") == 0
