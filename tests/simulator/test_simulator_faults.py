from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from fakes import FakeClock
from simulator_fakes import FakeWire, read

from exporter.simulator import Fault, Simulator, describe_faults
from exporter.simulator.faults import Call, Faults, explain_faults
from exporter.simulator.messages import Answer, Request
from exporter.simulator.misbehaviour import CATALOGUE

BRAND = "openapitest"


def hits(faults: Faults, call: Call, times: int = 1) -> int:
    return sum(len(faults.draw(call)["instead"]) for _ in range(times))


def test_a_fault_hits_only_what_it_selects(clock: FakeClock) -> None:
    faults = Faults(clock)
    faults.add("garbage", endpoint="stations", brand="a", venue=7, page=2)
    assert hits(faults, Call("stations", "a", "7", 2)) == 1
    for call in (
        Call("stations", "a", "7", 1),
        Call("stations", "a", "8", 2),
        Call("stations", "b", "7", 2),
        Call("venues", "a"),
        Call("auth"),
    ):
        assert hits(faults, call) == 0


def test_a_fault_is_over_after_its_count(clock: FakeClock) -> None:
    faults = Faults(clock)
    faults.add("garbage", count=3)
    assert hits(faults, Call("auth"), times=10) == 3
    assert faults.listing() == {}


def test_a_fault_is_over_after_its_duration(clock: FakeClock) -> None:
    faults = Faults(clock)
    faults.add("garbage", duration=30)
    assert hits(faults, Call("auth")) == 1
    clock.forward(30)
    assert hits(faults, Call("auth")) == 0


def test_a_fault_with_a_period_comes_back(clock: FakeClock) -> None:
    faults = Faults(clock)
    faults.add("garbage", duration=60, period=300)
    seen = []
    for _ in range(10):
        seen.append(hits(faults, Call("auth")))
        clock.forward(60)
    assert seen == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_a_probability_is_kept_and_repeats_with_its_seed(clock: FakeClock) -> None:
    def drawn(seed: int) -> list[int]:
        faults = Faults(clock, seed)
        faults.add("garbage", probability=0.25)
        return [hits(faults, Call("auth")) for _ in range(1000)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 180 < sum(drawn(1)) < 320


def test_faults_are_cleared_one_by_one_all_together_or_at_the_end_of_a_block(clock: FakeClock) -> None:
    faults = Faults(clock)
    first, second = faults.add("garbage"), faults.add("empty", venue=3)
    faults.clear(first)
    assert faults.listing() == {second: Fault.of("empty", venue="3")}
    with faults.during("hang"):
        assert len(faults.listing()) == 2
    faults.clear()
    assert faults.listing() == {}


def test_a_fault_is_read_from_text() -> None:
    text = 'fields,endpoint=stations,venue=3,probability=0.5,set={"total": 9, "sorts": []}'
    assert Fault.parse(text) == Fault.of(
        "fields", endpoint="stations", venue="3", probability=0.5, set={"total": 9, "sorts": []}
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("explode", "no fault 'explode'; there are latency, hang"),
        ("latency,hours=3", "latency has no option hours; its options are seconds"),
        ("latency,seconds=soon", "seconds: .*valid number"),
        ("empty,probability=2", "probability: "),
        ("empty,endpoint=kitchen", "endpoint: "),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_a_sentence(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + complaint):
        Fault.parse(text)


def test_no_option_has_the_name_of_a_selector() -> None:
    for kind, misbehaviour in CATALOGUE.items():
        assert not misbehaviour.options.keys() & Fault.model_fields.keys(), kind


def test_every_fault_has_a_line_of_help() -> None:
    lines = explain_faults()
    assert lines.keys() == CATALOGUE.keys()
    assert all(line[0].isupper() and "\n" not in line for line in lines.values())
    assert set(CATALOGUE) <= set(describe_faults().split())


@pytest.mark.parametrize(
    ("kind", "status", "message"),
    [
        ("test_mode", 200, "Integrator is in test mode. But brand is not in test mode"),
        ("dead_integrator", 400, "Invalid integrator_id"),
        ("bad_request", 400, ""),
        ("client_disabled", 401, "Client is disabled"),
        ("wrong_credentials", 401, ""),
        ("token_expired", 401, "Token expired"),
        ("token_invalid", 401, "Invalid token"),
        ("forbidden", 403, ""),
        ("not_found", 404, ""),
        ("rate_limited", 429, ""),
        ("server_error", 500, ""),
        ("unavailable", 503, ""),
        ("gateway_timeout", 504, ""),
    ],
)
def test_every_answer_of_the_error_table_can_be_had(
    ask: Any, simulator: Simulator, kind: str, status: int, message: str
) -> None:
    with simulator.faults.during(kind):
        answer = ask("venues")
    assert answer.status == status
    assert message in read(answer)["message"]
    assert not read(answer).get("success", False)
    assert ask("venues").status == 200


def test_a_rate_limit_may_come_with_any_headers(ask: Any, simulator: Simulator) -> None:
    simulator.faults.add("rate_limited", reset=None, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", count=1)
    headers = ask("venues").headers
    assert headers["Retry-After"] == "Wed, 21 Oct 2026 07:28:00 GMT"
    assert not [name for name in headers if name.startswith("RateLimit")]


def test_any_other_answer_can_be_had(ask: Any, simulator: Simulator) -> None:
    with simulator.faults.during("redirect", location="http://192.0.2.1/"):
        assert ask("venues").headers["Location"] == "http://192.0.2.1/"
    with simulator.faults.during("status", code=299, body="so", headers={"X-Odd": "yes"}):
        answer = ask("venues")
    assert (answer.status, answer.body, answer.headers["X-Odd"]) == (299, b"so", "yes")
    with simulator.faults.during("bad_gateway"), simulator.faults.during("fields", set={"a": 1}):
        assert ask("venues").body.startswith(b"<html>"), "what is no JSON object has no fields"


def test_faults_of_different_moments_act_together(simulator: Simulator) -> None:
    for kind in ("latency", "gateway_timeout", "set_cookie"):
        simulator.faults.add(kind)
    wire = FakeWire()
    simulator._serve(Request("GET", "/open-api/v2/venues"), wire)
    assert wire.answer is not None
    assert (wire.waited, wire.answer.status, "Set-Cookie" in wire.answer.headers) == (1.0, 504, True)


ALL = {"limit": "2", "sort[0]": "id", "sort[1]": "1"}


def walk(ask: Any) -> tuple[list[int], set[int]]:
    """Read all pages; return the ids and the totals that were seen."""
    pages = [read(ask("stations", query={**ALL, "page": str(page)})) for page in (1, 2, 3)]
    return [row["id"] for page in pages for row in page["data"]], {page["total"] for page in pages}


@pytest.mark.parametrize(
    ("kind", "ids", "totals"),
    [
        ("shrinking_list", [1, 2, 4, 5], {5, 4}),
        ("growing_list", [1, 2, 2, 3, 4, 5], {5, 6}),
        ("total_wrong", [1, 2, 3, 4, 5], {6}),
    ],
)
def test_a_list_moves_under_the_walk(
    ask: Any, simulator: Simulator, kind: str, ids: list[int], totals: set[int]
) -> None:
    with simulator.faults.during(kind):
        assert walk(ask) == (ids, totals)
    assert walk(ask) == ([1, 2, 3, 4, 5], {5})


def test_a_reordered_list_skips_and_repeats(ask: Any, simulator: Simulator) -> None:
    with simulator.faults.during("moving_list"):
        walks = [walk(ask) for _ in range(20)]
    assert all(len(ids) == 5 and totals == {5} for ids, totals in walks)
    assert any(len(set(ids)) < 5 for ids, _ in walks)


def test_a_row_is_missing_or_twice_while_the_total_stays(ask: Any, simulator: Simulator) -> None:
    with simulator.faults.during("row_missing", page=2):
        ids, totals = walk(ask)
        assert (len(ids), totals) == (4, {5})
    with simulator.faults.during("row_duplicated", page=1):
        ids, totals = walk(ask)
        assert (len(ids), len(set(ids)), totals) == (5, 4, {5})


def test_a_venue_is_missing_from_the_list(ask: Any, simulator: Simulator) -> None:
    with simulator.faults.during("row_missing", endpoint="venues"):
        assert len(read(ask("venues"))["data"]) == 1


def test_fields_are_set_and_dropped(ask: Any, simulator: Simulator) -> None:
    with simulator.faults.during("fields", set={"success": "yes"}, drop=["total"]):
        answer = read(ask("stations"))
    assert answer["success"] == "yes"
    assert "total" not in answer


def test_hostile_bodies_are_as_hostile_as_they_say(ask: Any, simulator: Simulator) -> None:
    def body(kind: str) -> bytes:
        with simulator.faults.during(kind):
            answer: Answer = ask("stations")
        return answer.body

    with pytest.raises(UnicodeDecodeError):
        body("invalid_utf8").decode()
    with pytest.raises(ValueError, match="digits"):
        read(Answer(200, body("giant_integer")))
    with pytest.raises(RecursionError):
        read(Answer(200, body("deep_json")))
    with pytest.raises(zlib.error):
        zlib.decompress(body("broken_gzip"), wbits=31)
    assert read(Answer(200, body("not_an_object"))) == [{"id": 1}]
    with pytest.raises(EOFError):
        gzip.decompress(body("half_gzip"))
    assert body("empty") == b""
    assert b"<title>" in body("garbage")


def test_a_gzip_bomb_is_small_until_it_is_opened() -> None:
    wire = FakeWire()
    with pytest.raises(ConnectionAbortedError):
        CATALOGUE["gzip_bomb"].act(wire, Answer(200, b"{}"), mebibytes=8)
    packed = wire.written.partition(b"\r\n\r\n")[2]
    assert len(packed) < 20_000
    assert len(zlib.decompressobj(wbits=31).decompress(packed)) > 8_000_000
