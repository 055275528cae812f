from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from simulator_fakes import FakeWire, read

from exporter.simulator import Simulator
from exporter.simulator.control import ROUTES
from exporter.simulator.messages import Answer, Request

BRAND = "openapitest"


def control(simulator: Simulator, method: str, path: str = "", body: str = "") -> Answer:
    wire = FakeWire()
    simulator._serve(Request(method, f"/_control/{path}", body=body.encode()), wire)
    assert wire.answer is not None
    return wire.answer


def test_help_names_routes_faults_credentials_and_stations(simulator: Simulator) -> None:
    simulator.world.set_status(BRAND, 1, 2, 0)
    help_ = read(control(simulator, "GET"))
    assert help_["routes"] == ROUTES
    assert help_["faults"]["hang"].startswith("Say nothing")
    assert help_["brands"][BRAND]["credentials"] == simulator.credentials(BRAND)
    assert help_["brands"][BRAND]["venues"]["1"]["stations"][1]["status"] == 0


def test_a_station_is_changed_by_hand(simulator: Simulator) -> None:
    fields = {"status": 0, "name": "Суши", "printable": 0, "type": 1}
    row = read(control(simulator, "PATCH", f"stations/{BRAND}/1/2", json.dumps(fields)))
    assert row.items() >= fields.items()
    assert simulator.world.station(BRAND, 1, 2)["name"] == "Суши"


def test_a_fault_is_added_in_the_language_of_the_flag_and_ended(simulator: Simulator, ask: Any) -> None:
    assert read(control(simulator, "POST", "faults", "unavailable,endpoint=venues")) == {"number": 1}
    assert ask("venues").status == 503
    assert ask("stations").status == 200
    assert control(simulator, "DELETE", "faults").status == 200
    assert ask("venues").status == 200


@pytest.mark.parametrize(
    ("route", "body", "status", "sentence"),
    [
        ("GET nonsense", "", 404, "GET /_control/"),
        ("POST stations/openapitest/1/1", "{}", 404, "No such control"),
        (f"PATCH stations/{BRAND}/1/99", '{"status": 0}', 404, "no station '99'"),
        (f"PATCH stations/{BRAND}/1/1", '{"colour": 0}', 400, "status, printable, type, name"),
        (f"PATCH stations/{BRAND}/1/1", "[]", 400, "a JSON object"),
        (f"PATCH stations/{BRAND}/1/1", "status", 400, "Expecting value"),
        (f"PATCH stations/{BRAND}/1/1", '{"status": 5}', 400, "0 or 1"),
        ("POST faults", "explode", 400, "no fault"),
    ],
)
def test_a_wrong_control_request_is_answered_with_a_sentence(
    simulator: Simulator, route: str, body: str, status: int, sentence: str
) -> None:
    method, path = route.split(" ")
    answer = control(simulator, method, path, body)
    assert answer.status == status
    assert sentence in read(answer)["message"]


def test_only_the_same_machine_may_control(simulator: Simulator) -> None:
    wire, request = FakeWire(), Request("GET", "/_control/")
    for ip, status in (("192.0.2.1", 403), ("::1", 200), ("127.0.0.2", 200)):
        simulator._serve(replace(request, ip=ip), wire)
        assert wire.answer is not None
        assert wire.answer.status == status
