from __future__ import annotations

from typing import Any

import pytest
from fakes import FakeClock
from simulator_fakes import read

from exporter.simulator import Simulator

BRAND = "openapitest"


@pytest.fixture
def credentials(simulator: Simulator) -> dict[str, str]:
    return simulator.credentials(BRAND)


def test_a_login_gives_an_opaque_token_with_its_end(ask: Any, credentials: dict[str, str], clock: FakeClock) -> None:
    answer = read(ask("auth", method="POST", body=credentials))
    assert answer["success"] is True
    assert answer["token"].count(".") == 2
    assert answer["expires_in"] == 3600
    assert answer["expires_at"] == clock.wall() + 3600
    assert ask("stations", x_token=answer["token"]).status == 200


@pytest.mark.parametrize(
    ("wrong", "status", "message"),
    [
        ({"client_id": None}, 400, "client_id"),
        ({"brand": 7}, 400, "brand"),
        ({"integrator_id": "somebody"}, 400, "Invalid integrator_id"),
        ({"client_secret": "guessed"}, 401, "Invalid credentials"),
        ({"brand": "tandir-group"}, 401, "Invalid credentials"),
        ({"brand": "nobody"}, 401, "Invalid credentials"),
    ],
)
def test_a_login_is_refused(ask: Any, credentials: Any, wrong: Any, status: int, message: str) -> None:
    answer = ask("auth", method="POST", body={**credentials, **wrong})
    assert answer.status == status
    assert message in read(answer)["message"]


def test_a_login_that_is_not_json_lacks_its_fields(ask: Any) -> None:
    assert ask("auth", method="POST", body=["client_id"]).status == 400


def test_wrong_credentials_are_answered_with_only_a_message(ask: Any, credentials: Any) -> None:
    answer = ask("auth", method="POST", body={**credentials, "client_secret": "guessed"})
    assert list(read(answer)) == ["message"]


def test_stations_come_in_the_envelope_of_the_page(ask: Any, simulator: Simulator) -> None:
    answer = ask("stations", x_venue="2")
    content = read(answer)
    assert content["success"] is True
    assert content["total"] == 5
    assert {"time", "timestamp", "unix", "sorts"} <= content.keys()
    assert {row["id"]: row for row in content["data"]} == {row["id"]: row for row in simulator.world.stations(BRAND, 2)}
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_without_x_venue_the_first_venue_is_meant(ask: Any, simulator: Simulator) -> None:
    simulator.world.edit(BRAND, 1, 1, name="only here")
    assert "only here" in ask("stations").body.decode()
    assert "only here" not in ask("stations", x_venue="2").body.decode()


def test_pages_cut_what_the_total_counts_whole(ask: Any) -> None:
    query = {"limit": "2", "sort[0]": "id", "sort[1]": "1"}
    pages = [read(ask("stations", query={**query, "page": str(page)})) for page in (1, 2, 3, 4)]
    assert [[row["id"] for row in page["data"]] for page in pages] == [[1, 2], [3, 4], [5], []]
    assert {page["total"] for page in pages} == {5}


def test_the_default_order_is_newest_first(ask: Any) -> None:
    created = [row["created_at"] for row in read(ask("stations"))["data"]]
    assert created == sorted(created, reverse=True)


def test_filters_select_and_are_counted_in_the_total(ask: Any, simulator: Simulator) -> None:
    simulator.world.set_status(BRAND, 1, 3, 0)
    inactive = read(ask("stations", query={"status": "0"}))
    assert [row["id"] for row in inactive["data"]] == [3]
    assert inactive["total"] == 1
    printing, silent = (read(ask("stations", query={"can_print": text}))["total"] for text in ("true", "false"))
    assert printing + silent == 5
    assert printing == sum(row["printable"] for row in simulator.world.stations(BRAND, 1))


@pytest.mark.parametrize(
    "query",
    [
        {"status": "2"},
        {"status": "active"},
        {"can_print": "maybe"},
        {"page": "0"},
        {"page": "9" * 5000},
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "-1"},
        {"sort[0]": "colour"},
        {"sort[1]": "2"},
    ],
)
def test_a_bad_parameter_is_400(ask: Any, query: dict[str, str]) -> None:
    answer = ask("stations", query=query)
    assert answer.status == 400
    assert read(answer)["error"] in {"validation_failed", "invalid_parameter"}


def test_all_venues_come_in_one_answer_and_the_first_is_the_main_one(ask: Any) -> None:
    rows = read(ask("venues"))["data"]
    assert [(row["id"], row["is_main"], row["status"]) for row in rows] == [(1, True, 1), (2, False, 1)]


def test_a_venue_of_another_brand_is_not_found(ask: Any, simulator: Simulator) -> None:
    venue = simulator.world.add_venue("tandir-group", "Elsewhere")
    answer = ask("stations", x_venue=venue)
    assert (answer.status, read(answer)["error"]) == (404, "resource_not_found")


@pytest.mark.parametrize(("token", "message"), [("", "Missing authentication headers"), ("made up", "Invalid token")])
def test_without_a_good_token_nothing_is_served(ask: Any, token: str, message: str) -> None:
    answer = ask("venues", x_token=token)
    assert (answer.status, read(answer)["message"]) == (401, message)


def test_a_token_expires_with_time_or_on_demand_or_is_revoked(ask: Any, simulator: Simulator, clock: FakeClock) -> None:
    clock.forward(3599)
    assert ask("venues").status == 200
    clock.forward(1)
    expired = read(ask("venues"))
    assert expired["message"] == "Token expired"
    assert expired["expires_at"].endswith("Z")
    fresh = simulator.tokens.issue(BRAND)[0]
    simulator.tokens.expire("tandir-group")
    assert ask("venues", x_token=fresh).status == 200
    simulator.tokens.expire(BRAND)
    assert read(ask("venues", x_token=fresh))["message"] == "Token expired"
    simulator.tokens.revoke()
    assert read(ask("venues", x_token=fresh))["message"] == "Invalid token"


def test_every_authenticated_answer_has_the_quota(ask: Any) -> None:
    assert [ask("venues").headers["RateLimit-Remaining"] for _ in range(3)] == ["299", "298", "297"]
    assert ask("stations", x_venue="99").headers["RateLimit-Limit"] == "300"


def test_request_301_of_a_minute_is_reported_to_wait(ask: Any, clock: FakeClock) -> None:
    assert {ask("venues").status for _ in range(300)} == {200}
    answer = ask("venues")
    assert answer.status == 429
    assert answer.headers["Retry-After"] == answer.headers["RateLimit-Reset"] == "60"
    clock.forward(60)
    assert ask("venues").status == 200


def test_login_61_of_a_minute_is_reported_to_wait(ask: Any, credentials: dict[str, str]) -> None:
    assert {ask("auth", method="POST", body=credentials).status for _ in range(60)} == {200}
    assert ask("auth", method="POST", body=credentials).status == 429


@pytest.mark.parametrize(("path", "method", "status"), [("orders", "GET", 404), ("stations", "POST", 405)])
def test_other_paths_and_methods_are_refused(ask: Any, path: str, method: str, status: int) -> None:
    assert ask(path, method=method).status == status


def test_traffic_is_logged_with_its_outcome(ask: Any, simulator: Simulator) -> None:
    ask("stations", x_venue="2", query={"page": "3"})
    ask("venues", x_token="made up")
    first, second = simulator.traffic.entries()
    assert (first.endpoint, first.brand, first.venue, first.page, first.code) == ("stations", BRAND, "2", 3, 200)
    assert (second.endpoint, second.brand, second.code) == ("venues", None, 401)
    assert simulator.traffic.entries(since=first.seq) == [second]
