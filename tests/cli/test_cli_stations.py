from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cli_fakes import run, write

from exporter.cli import fetch
from exporter.simulator import Simulator

BRAND = "openapitest"


def table(*arguments: str) -> list[str]:
    result = run("stations", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def rows(*arguments: str) -> list[dict[str, Any]]:
    result = run("stations", "--output", "json", *arguments)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["failures"] == []
    return document["stations"]  # type: ignore[no-any-return]


def test_all_stations_are_printed_as_a_table(config: str, simulator: Simulator) -> None:
    simulator.world.set_status(BRAND, "1", "2", 0)
    lines = table("--config.file", config)
    assert lines[0].split() == ["BRAND", "VENUE", "STATION", "KIND", "STATUS", "PRINTS", "UPDATED", "(UTC)"]
    assert len(lines) == 9
    assert sum("INACTIVE" in line for line in lines) == 1
    assert sum("  active  " in line for line in lines) == 7


def test_times_of_the_table_are_those_of_the_venues(simulator: Simulator, tmp_path: Path) -> None:
    config = write(tmp_path, simulator, time_zone="Asia/Baku")
    heading, first, *_ = table("--config.file", config, "--brand", BRAND, "--venue", "1")
    updated = datetime.fromisoformat(simulator.world.station(BRAND, "1", "1")["updated_at"])
    assert heading.endswith("UPDATED (Asia/Baku)")
    assert first.endswith(f"{updated.astimezone(ZoneInfo('Asia/Baku')):%Y-%m-%d %H:%M:%S}")


def test_json_says_what_is_known_of_each_station(config: str, simulator: Simulator) -> None:
    found = rows("--config.file", config)
    assert len(found) == 8
    truth = simulator.world.station(BRAND, "1", "1")
    (first,) = [row for row in found if (row["brand"], row["venue_id"], row["station_id"]) == (BRAND, "1", "1")]
    assert first == {
        "brand": BRAND,
        "venue_id": "1",
        "venue": simulator.world.venues(BRAND)["1"],
        "station_id": "1",
        "station": truth["name"],
        "kind": "kitchen",
        "active": True,
        "printable": bool(truth["printable"]),
        "created_at": truth["created_at"],
        "updated_at": truth["updated_at"],
    }


def test_one_brand_and_venue_can_be_asked_for(config: str) -> None:
    found = rows("--config.file", config, "--brand", BRAND, "--venue", "2")
    assert {(row["brand"], row["venue_id"]) for row in found} == {(BRAND, "2")}


def test_a_brand_that_is_not_configured_is_a_wrong_flag(config: str) -> None:
    result = run("stations", "--config.file", config, "--brand", "elsewhere")
    assert result.exit_code == 2
    assert "not configured: elsewhere" in result.output


def test_a_venue_that_no_brand_has_is_a_failure(config: str) -> None:
    result = run("stations", "--config.file", config, "--venue", "99", "--venue", "1")
    assert result.exit_code == 1
    assert result.stderr == "venue 99  failed: no brand has such a venue\n"
    assert len(result.stdout.splitlines()) == 5


def test_where_nothing_could_be_read_there_is_no_empty_table(config: str) -> None:
    result = run("stations", "--config.file", config, "--venue", "77")
    assert result.exit_code == 1
    assert result.output == "venue 77  failed: no brand has such a venue\n"


@pytest.mark.parametrize(("flag", "active"), [("1", True), ("active", True), ("0", False), ("inactive", False)])
def test_status_is_filtered_by_the_api_itself(config: str, simulator: Simulator, flag: str, *, active: bool) -> None:
    simulator.world.set_status(BRAND, "1", "2", 0)
    found = rows("--config.file", config, "--status", flag)
    assert {row["active"] for row in found} == {active}
    assert len(found) == (7 if active else 1)


@pytest.mark.parametrize(("flag", "count"), [("true", 7), ("false", 1), ("1", 7), ("no", 1)])
def test_printing_is_filtered_by_the_api_itself(config: str, simulator: Simulator, flag: str, count: int) -> None:
    for brand in simulator.world.brands:
        for venue in ("1", "2"):
            for station in ("1", "2"):
                simulator.world.edit(brand, venue, station, printable=1)
    simulator.world.edit(BRAND, "1", "2", printable=0)
    assert len(rows("--config.file", config, "--can-print", flag)) == count


def test_what_could_be_read_is_printed_though_something_fails(config: str, simulator: Simulator) -> None:
    with simulator.faults.during("not_found", brand=BRAND, venue="1"):
        result = run("stations", "--config.file", config, "--output", "json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert len(document["stations"]) == 6
    assert document["failures"] == [
        {"place": f"{BRAND} venue 1", "reason": "not_found", "message": "Resource not found (HTTP 404)"}
    ]


def test_a_brand_that_cannot_log_in_is_a_failure_with_what_to_do(config: str, simulator: Simulator) -> None:
    with simulator.faults.during("client_disabled", brand=BRAND):
        result = run("stations", "--config.file", config)
    assert result.exit_code == 1
    assert f"{BRAND}  failed: Client is disabled (HTTP 401)\n    Switch the Open API module on" in result.stderr
    assert "tandir-group" in result.stdout


def test_odd_rows_are_shown_as_what_they_are(config: str, simulator: Simulator) -> None:
    simulator.world.serve_raw(BRAND, "1", "1", '{"id":"kitchen","name":"Odd\\u001b[31m","status":7,"printable":null}')
    (line,) = [line for line in table("--config.file", config) if "Odd" in line]
    assert "\x1b" not in line
    assert line.split()[-3:] == ["unknown", "?", "?"]


def test_progress_is_shown_on_a_terminal_only(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_MANY", 2)
    result = run("stations", "--config.file", config, "--output", "json", "--brand", BRAND)
    assert len(json.loads(result.stdout)["stations"]) == 4
    assert result.stderr == ""


def test_inactive_stations_come_first(config: str, simulator: Simulator) -> None:
    simulator.world.set_status("tandir-group", "2", "2", 0)
    assert [row["active"] for row in rows("--config.file", config)] == [False, *[True] * 7]


def test_stations_of_one_kind_can_be_asked_for(config: str, simulator: Simulator) -> None:
    simulator.world.serve_raw(BRAND, "1", "1", '{"id":1,"name":"Bar","status":1,"type":0}')
    kinds = {kind: len(rows("--config.file", config, "--kind", kind)) for kind in ("other", "kitchen")}
    every = [row["kind"] for row in rows("--config.file", config)]
    assert kinds == {kind: every.count(kind) for kind in kinds}
    assert kinds["other"] >= 1


def test_without_a_configuration_it_says_what_is_missing() -> None:
    result = run("stations")
    assert result.exit_code == 1
    assert "CLOPOS_BRAND" in result.output
