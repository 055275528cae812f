from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes import FakeClock
from simulator_fakes import FakeWire, read

from exporter.simulator import Simulator
from exporter.simulator.control import ROUTES
from exporter.simulator.messages import Request

BRAND = "openapitest"


def test_help_names_routes_faults_and_credentials(ask: Any, simulator: Simulator) -> None:
    help_ = read(ask("/_control/"))
    assert len(help_["routes"]) == len(ROUTES)
    assert "GET /_control/state" in help_["routes"]
    assert help_["faults"]["hang"].startswith("Say nothing")
    assert simulator.credentials(BRAND) in help_["credentials"]


def test_state_and_record_are_true(ask: Any, simulator: Simulator) -> None:
    simulator.world.set_status(BRAND, 1, 2, 0)
    state = read(ask("/_control/state", query={"brand": BRAND}))
    assert list(state) == [BRAND]
    assert state[BRAND]["1"]["stations"][1]["status"] == 0
    (change,) = read(ask("/_control/changes"))
    assert (change["event"], change["station"], change["new"]) == ("station.deactivated", "2", 0)
    assert read(ask("/_control/changes", query={"since": "1"})) == []


def test_a_station_lives_and_dies_by_control(ask: Any, simulator: Simulator) -> None:
    station = read(ask(f"/_control/stations/{BRAND}/1", method="POST", body={"name": "Sushi", "type": 1}))
    path = f"/_control/stations/{BRAND}/1/{station}"
    row = read(ask(path, method="PATCH", body={"status": 0, "name": "Суши", "printable": 0, "touch": True}))
    assert (row["status"], row["name"], row["printable"], row["type"]) == (0, "Суши", 0, 1)
    ask(path, method="PUT", body={"row": '{"id":"kitchen"}'})
    assert {"id": "kitchen"} in read(ask("stations"))["data"]
    assert ask(path, method="DELETE").status == 200
    assert {row["id"] for row in simulator.world.stations(BRAND, 1)} == {1, 2, 3, 4, 5}


def test_a_venue_lives_and_dies_by_control(ask: Any, simulator: Simulator) -> None:
    venue = read(ask(f"/_control/venues/{BRAND}", method="POST", body={"name": "Şuşa"}))
    ask(f"/_control/venues/{BRAND}/{venue}", method="PATCH", body={"name": "Şəki"})
    assert simulator.world.venues(BRAND)[venue] == "Şəki"
    ask(f"/_control/venues/{BRAND}/{venue}", method="DELETE")
    assert venue not in simulator.world.venues(BRAND)


def test_faults_come_and_go_by_control(ask: Any) -> None:
    number = read(ask("/_control/faults", method="POST", body={"kind": "unavailable", "endpoint": "venues"}))
    assert ask("venues").status == 503
    assert read(ask("/_control/faults"))[str(number)]["kind"] == "unavailable"
    ask(f"/_control/faults/{number}", method="DELETE")
    assert ask("venues").status == 200
    ask("/_control/faults", method="POST", body={"kind": "unavailable"})
    ask("/_control/faults", method="DELETE")
    assert read(ask("/_control/faults")) == {}


def test_requests_can_be_looked_up(ask: Any) -> None:
    ask("venues")
    ask("stations", x_venue="2")
    (entry,) = read(ask("/_control/requests", query={"venue": "2"}))
    assert (entry["seq"], entry["endpoint"], entry["code"]) == (2, "stations", 200)
    assert read(ask("/_control/requests", query={"since": "2"})) == []


def test_another_client_is_let_loose_by_control(ask: Any, clock: FakeClock) -> None:
    ask(f"/_control/load/{BRAND}", method="PUT", body={"per_minute": 200})
    clock.forward(60)
    assert ask("venues").headers["RateLimit-Remaining"] in {"99", "100"}


def test_tokens_end_by_control(ask: Any) -> None:
    ask("/_control/tokens/expire", method="POST", body={"brand": BRAND})
    assert read(ask("venues"))["message"] == "Token expired"
    ask("/_control/tokens/revoke", method="POST")
    assert read(ask("venues"))["message"] == "Invalid token"


def test_changes_happen_on_demand(ask: Any, simulator: Simulator) -> None:
    ask("/_control/churn", method="POST", body={"count": 20})
    assert len(simulator.world.mutations()) >= 15


def test_reset_leaves_the_stations_and_forgets_the_rest(ask: Any, simulator: Simulator) -> None:
    simulator.world.set_status(BRAND, 1, 1, 0)
    simulator.faults.add("hang")
    simulator.limits.set_load(BRAND, 300)
    ask("/_control/reset", method="POST")
    assert read(ask("venues"))["message"] == "Invalid token"
    assert simulator.faults.listing() == {}
    assert simulator.world.station(BRAND, 1, 1)["status"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "complaint"),
    [
        ("GET", "nonsense", None, "404 GET state"),
        ("PATCH", f"stations/{BRAND}/1/99", {"status": 0}, "404 no station '99'"),
        ("PATCH", f"stations/{BRAND}/1/1", {"colour": 0}, "400 no colour"),
        ("PATCH", f"stations/{BRAND}/1/1", {"status": 5}, "400 0 or 1"),
        ("PATCH", f"stations/{BRAND}", {"status": 5}, "400 venue"),
        ("POST", "faults", {"kind": "explode"}, "400 no fault"),
        ("POST", "faults", [], "400 mapping"),
        ("POST", "tokens/burn", None, "404 no tokens/burn"),
    ],
)
def test_a_wrong_control_request_is_answered_with_a_sentence(
    ask: Any, method: str, path: str, body: Any, complaint: str
) -> None:
    answer = ask(f"/_control/{path}", method=method, body=body)
    status, _, sentence = complaint.partition(" ")
    assert answer.status == int(status)
    assert sentence in read(answer)["message"]


def test_only_the_same_machine_may_control(simulator: Simulator) -> None:
    wire, request = FakeWire(), Request("GET", "/_control/state")
    for ip, status in (("192.0.2.1", 403), ("::1", 200), ("127.0.0.2", 200)):
        simulator._serve(replace(request, ip=ip), wire)
        assert wire.answer is not None
        assert wire.answer.status == status
