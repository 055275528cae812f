"""A dead man's switch is requested while all is well, and only then."""

from __future__ import annotations

import time

import pytest
from fakes import FakeClock, until
from receivers import Answer, Service
from structlog.testing import capture_logs

from exporter.clock import Clock
from exporter.notify.heartbeat import Heartbeat

PATH = "/marked-0123456789"


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.notify.heartbeat.TIMEOUT_SECONDS", 0.3)


def heartbeat(service: Service, problems: list[str]) -> Heartbeat:
    return Heartbeat(f"http://{service.address}{PATH}", 60.0, lambda: problems, FakeClock())


def test_the_url_is_requested_while_all_is_well(service: Service) -> None:
    beat = heartbeat(service, [])
    with capture_logs() as logs:
        assert [beat.beat(), beat.beat()] == [True, True]
    assert service.paths == [PATH, PATH]
    assert logs == []


def test_the_url_is_left_alone_while_something_is_wrong_and_that_is_logged_once(service: Service) -> None:
    problems = ["the state cannot be written"]
    beat = heartbeat(service, problems)
    with capture_logs() as logs:
        assert [beat.beat(), beat.beat()] == [False, False]
        problems.clear()
        assert beat.beat()
    assert service.paths == [PATH]
    assert [log["event"] for log in logs] == ["heartbeat.withheld", "heartbeat.resumed"]
    assert logs[0]["problems"] == ("the state cannot be written",)


@pytest.mark.parametrize(
    ("answer", "why"),
    [((500, {}), "HTTP 500"), ((301, {}), "HTTP 301"), ("hang", "ReadTimeout"), ("close", "ConnectionError")],
)
def test_a_url_that_does_not_answer_well_is_logged_once_and_not_shown(
    service: Service, answer: Answer, why: str
) -> None:
    service.answer_with(answer)
    beat = heartbeat(service, [])
    with capture_logs() as logs:
        assert [beat.beat(), beat.beat()] == [False, False]
    assert [(log["event"], log["problems"]) for log in logs] == [("heartbeat.failed", (why,))]
    assert "marked" not in str(logs)


def test_it_goes_on_by_itself_until_it_is_stopped(service: Service) -> None:
    beat = Heartbeat(f"http://{service.address}{PATH}", 10.0, list, Clock(speed=200.0))
    beat.start()
    end = time.monotonic() + 10.0
    while len(service.paths) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    beat.stop()


def test_it_goes_on_after_a_fault_of_ours(service: Service) -> None:
    faults = [ZeroDivisionError()]

    def problems() -> list[str]:
        if faults:
            raise faults.pop()
        return []

    beat = Heartbeat(f"http://{service.address}{PATH}", 10.0, problems, Clock(speed=200.0))
    with capture_logs() as logs:
        beat.start()
        until(lambda: service.paths)
        beat.stop()
    assert logs[0]["event"] == "heartbeat.crashed"
