from __future__ import annotations

import socket
import sys
import threading
import time

import pytest
import requests
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from web_fakes import FakeChecks, FakeExposition, Serving, Site

from exporter import priority
from exporter.errors import ConfigError, ConfigProblem
from exporter.priority import ScrapePriority
from exporter.web import responses
from exporter.web.endpoints import PART_BYTES, Management, create_app
from exporter.web.responses import SWITCH_SECONDS, one_at_a_time
from exporter.web.server import THREADS

TIMEOUT = 5


def test_a_scrape_gets_the_body_and_the_negotiated_headers(site: Site, exposition: FakeExposition) -> None:
    exposition.answer = exposition.answer._replace(chunks=(b"a 1\n",), content_type="application/openmetrics-text")
    answer = requests.get(f"{site.url}/metrics", timeout=TIMEOUT)
    assert answer.status_code == 200
    assert answer.content == b"a 1\n"
    assert answer.headers["Content-Type"] == "application/openmetrics-text"
    assert "Content-Encoding" not in answer.headers


def test_a_compressed_scrape_says_so(site: Site, exposition: FakeExposition) -> None:
    exposition.answer = exposition.answer._replace(content_encoding="gzip")
    answer = requests.get(f"{site.url}/metrics", stream=True, timeout=TIMEOUT)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.raw.read(decode_content=False) == b"up 1\n"


def test_what_prometheus_asks_for_reaches_the_exposition(site: Site, exposition: FakeExposition) -> None:
    headers = {"Accept": "text/plain;q=0.5", "Accept-Encoding": "gzip"}
    requests.get(f"{site.url}/metrics?name[]=up&name%5B%5D=b&other=c", headers=headers, timeout=TIMEOUT)
    assert exposition.asked == [("text/plain;q=0.5", "gzip", frozenset({"up", "b"}))]


def test_polls_give_way_until_a_scrape_was_sent_and_no_longer(
    serving: Serving, exposition: FakeExposition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(priority, "LONGEST_SECONDS", 60.0)
    exposition.answer = exposition.answer._replace(chunks=(b"x" * 64_000_000,))
    scrapes = ScrapePriority()
    app = create_app(exposition.scrape, Management(list, lambda: None), priority=scrapes)
    with serving(app) as site, requests.get(f"{site.url}/metrics", stream=True, timeout=TIMEOUT) as answer:
        poll = threading.Thread(target=scrapes.give_way, daemon=True)
        poll.start()
        poll.join(0.05)
        assert poll.is_alive()
        assert len(answer.content) == 64_000_000
        poll.join(TIMEOUT)
        assert not poll.is_alive()
        requests.get(f"{site.url}/-/healthy", timeout=TIMEOUT)
        scrapes.give_way()


@pytest.mark.parametrize("path", ["/metrics?", "/?", "/-/ready?", "/-/reload?", "/api/v1/stations?"])
def test_more_parameters_than_anybody_needs_are_refused_before_they_are_parsed(
    site: Site, exposition: FakeExposition, path: str
) -> None:
    answer = requests.get(f"{site.url}{path}{'name[]=up&' * 500}", timeout=TIMEOUT)
    assert answer.status_code == 400
    assert "more than 200 parameters" in answer.text
    assert exposition.asked == []


def test_head_gives_the_length_and_no_body(site: Site) -> None:
    answer = requests.head(f"{site.url}/metrics", timeout=TIMEOUT)
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "5", b"")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/metrics", {"GET", "HEAD"}),
        ("DELETE", "/metrics", {"GET", "HEAD"}),
        ("POST", "/-/healthy", {"GET", "HEAD"}),
        ("PUT", "/-/ready", {"GET", "HEAD"}),
        ("GET", "/-/reload", {"POST"}),
    ],
)
def test_another_method_is_refused_with_the_allowed_ones(site: Site, method: str, path: str, allowed: set[str]) -> None:
    answer = requests.request(method, site.url + path, timeout=TIMEOUT)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_health_is_healthy_whatever_readiness_says(site: Site, checks: FakeChecks) -> None:
    checks.reasons = ["brand a: no outcome yet"]
    assert requests.get(f"{site.url}/-/healthy", timeout=TIMEOUT).status_code == 200


def test_a_scheduler_that_failed_is_not_healthy(site: Site, checks: FakeChecks) -> None:
    checks.works = False
    answer = requests.get(f"{site.url}/-/healthy", timeout=TIMEOUT)
    assert answer.status_code == 503
    assert "the scheduler has failed" in answer.text


def test_readiness_says_why_not(site: Site, checks: FakeChecks) -> None:
    checks.reasons = ["brand a: no outcome yet", "brand b: no outcome yet"]
    answer = requests.get(f"{site.url}/-/ready", timeout=TIMEOUT)
    assert (answer.status_code, answer.text) == (503, "brand a: no outcome yet\nbrand b: no outcome yet\n")
    checks.reasons = []
    assert requests.get(f"{site.url}/-/ready", timeout=TIMEOUT).status_code == 200


def test_a_reload_is_answered_with_every_fault(site: Site, checks: FakeChecks) -> None:
    assert requests.post(f"{site.url}/-/reload", timeout=TIMEOUT).status_code == 200
    checks.faults = [ConfigProblem("c.yml:1: a", "is wrong"), ConfigProblem("c.yml:2: b", "too")]
    answer = requests.post(f"{site.url}/-/reload", timeout=TIMEOUT)
    assert (answer.status_code, answer.text) == (400, "c.yml:1: a: is wrong\nc.yml:2: b: too\n")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_cannot_reload(site: Site, checks: FakeChecks, headers: dict[str, str]) -> None:
    assert requests.post(f"{site.url}/-/reload", headers=headers, timeout=TIMEOUT).status_code == 403
    assert checks.reloads == 0


def test_our_own_page_can_reload(site: Site, checks: FakeChecks) -> None:
    for headers in ({"Origin": site.url}, {"Sec-Fetch-Site": "same-origin"}):
        assert requests.post(f"{site.url}/-/reload", headers=headers, timeout=TIMEOUT).status_code == 200
    assert checks.reloads == 2


def test_reloads_run_one_at_a_time_and_hold_up_no_scrape(serving: Serving, exposition: FakeExposition) -> None:
    gate, running, together = threading.Event(), [], []

    def reload() -> None:
        running.append(1)
        together.append(len(running))
        gate.wait(TIMEOUT)
        running.pop()

    with serving(create_app(exposition.scrape, Management(list, reload))) as site:
        posts = [
            threading.Thread(target=requests.post, args=(f"{site.url}/-/reload",), kwargs={"timeout": TIMEOUT})
            for _ in range(3)
        ]
        for post in posts:
            post.start()
        while not together:
            time.sleep(0.001)
        assert requests.get(f"{site.url}/metrics", timeout=TIMEOUT).status_code == 200
        gate.set()
        for post in posts:
            post.join(TIMEOUT)
    assert together == [1, 1, 1]


def test_pages_carry_the_headers_that_keep_a_browser_safe(serving: Serving, exposition: FakeExposition) -> None:
    page = Route("/", lambda _: PlainTextResponse("hello"))
    with serving(create_app(exposition.scrape, Management(list, lambda: None), routes=[page])) as site:
        headers = requests.get(site.url, timeout=TIMEOUT).headers
        missing = requests.get(f"{site.url}/nothing", timeout=TIMEOUT)
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "deny"
    assert missing.status_code == 404
    assert missing.headers["X-Frame-Options"] == "deny"


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready", "/nothing", "/-/reload", "/?" + "&" * 500])
def test_every_answer_keeps_browsers_safe_and_is_not_stored(site: Site, path: str) -> None:
    headers = requests.get(site.url + path, timeout=TIMEOUT).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_an_answer_keeps_the_headers_that_it_sets_itself(serving: Serving, exposition: FakeExposition) -> None:
    page = Route("/", lambda _: PlainTextResponse("hello", headers={"Cache-Control": "max-age=60"}))
    with serving(create_app(exposition.scrape, Management(list, lambda: None), routes=[page])) as site:
        assert requests.get(site.url, timeout=TIMEOUT).headers["Cache-Control"] == "max-age=60"


def test_a_reload_does_not_wait_for_pages(serving: Serving, exposition: FakeExposition) -> None:
    gate, working = threading.Event(), threading.Semaphore(0)

    def page(_: Request) -> Response:
        working.release()
        gate.wait(TIMEOUT)
        return PlainTextResponse("done")

    app = create_app(exposition.scrape, Management(list, lambda: None), routes=[Route("/", page)])
    with serving(app) as site:
        readers = [
            threading.Thread(target=requests.get, args=(site.url,), kwargs={"timeout": TIMEOUT}) for _ in range(THREADS)
        ]
        for reader in readers:
            reader.start()
        for _ in readers:
            assert working.acquire(timeout=TIMEOUT)
        assert requests.post(f"{site.url}/-/reload", timeout=TIMEOUT).status_code == 200
        gate.set()
        for reader in readers:
            reader.join(TIMEOUT)


def test_pages_and_lists_work_one_at_a_time_and_none_for_a_client_that_left(
    serving: Serving, exposition: FakeExposition
) -> None:
    gate, working, asked = threading.Event(), threading.Event(), []

    def page(request: Request) -> Response:
        asked.append(request.url.query or request.url.path)
        working.set()
        gate.wait(TIMEOUT)
        return PlainTextResponse("done")

    routes = [Route("/", one_at_a_time(page)), Route("/api/v1/list", one_at_a_time(page))]
    with serving(create_app(exposition.scrape, Management(list, lambda: None), routes=routes)) as site:
        first = threading.Thread(target=requests.get, args=(f"{site.url}/?first",), kwargs={"timeout": TIMEOUT})
        first.start()
        assert working.wait(TIMEOUT)
        for _ in range(40):
            with socket.create_connection(("127.0.0.1", site.port), TIMEOUT) as client:
                client.sendall(b"GET /?left HTTP/1.1\r\nHost: localhost\r\n\r\n")
        # Whoever asks after them is answered after them.
        assert requests.get(f"{site.url}/-/healthy", timeout=TIMEOUT).status_code == 200
        last = threading.Thread(target=requests.get, args=(f"{site.url}/api/v1/list",), kwargs={"timeout": TIMEOUT})
        last.start()
        time.sleep(0.2)
        gate.set()
        first.join(TIMEOUT)
        last.join(TIMEOUT)
    assert asked == ["first", "/api/v1/list"]


def test_nothing_is_begun_for_a_client_that_leaves_at_once(
    serving: Serving, exposition: FakeExposition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "LEAVING_SECONDS", 0.5)
    begun: list[str] = []

    def page(request: Request) -> Response:
        begun.append(request.url.query)
        return PlainTextResponse("done")

    app = create_app(exposition.scrape, Management(list, lambda: None), routes=[Route("/", one_at_a_time(page))])
    with serving(app) as site:
        with socket.create_connection(("127.0.0.1", site.port), TIMEOUT) as client:
            client.sendall(b"GET /?left HTTP/1.1\r\nHost: localhost\r\n\r\n")
            # Read by the server by the time that this is answered.
            assert requests.get(f"{site.url}/-/healthy", timeout=TIMEOUT).status_code == 200
        assert requests.get(f"{site.url}/?stays", timeout=TIMEOUT).text == "done"
    assert begun == ["stays"]


def test_a_failure_is_an_error_of_the_api_in_json(serving: Serving, exposition: FakeExposition) -> None:
    def broken(_: Request) -> Response:
        raise RuntimeError("marked secret")

    app = create_app(exposition.scrape, Management(list, lambda: None), routes=[Route("/api/v1/broken", broken)])
    with serving(app) as site:
        answers = {
            500: requests.get(f"{site.url}/api/v1/broken", timeout=TIMEOUT),
            405: requests.post(f"{site.url}/api/v1/broken", timeout=TIMEOUT),
            404: requests.get(f"{site.url}/api/v1/nothing", timeout=TIMEOUT),
            400: requests.get(f"{site.url}/api/v1/broken?{'&' * 500}", timeout=TIMEOUT),
            403: requests.get(f"{site.url}/api/v1/broken", headers={"Host": "evil.example"}, timeout=TIMEOUT),
        }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.json().keys() == {"error", "message"}
        assert "marked secret" not in answer.text
    assert set(answers[405].headers["Allow"].split(", ")) == {"GET", "HEAD"}


def test_the_telemetry_path_can_be_another(serving: Serving, exposition: FakeExposition) -> None:
    with serving(create_app(exposition.scrape, Management(list, lambda: None), telemetry_path="/probe")) as site:
        assert requests.get(f"{site.url}/probe", timeout=TIMEOUT).text == "up 1\n"
        assert requests.get(f"{site.url}/metrics", timeout=TIMEOUT).status_code == 404


@pytest.mark.parametrize("path", ["metrics", "", "/-/ready", "/a?b", "/", "/with space"])
def test_an_unusable_telemetry_path_is_a_fault(exposition: FakeExposition, path: str) -> None:
    page = Route("/", lambda _: PlainTextResponse("hello"))
    with pytest.raises(ConfigError, match=r"--web\.telemetry-path"):
        create_app(exposition.scrape, Management(list, lambda: None), telemetry_path=path, routes=[page])


def test_an_answer_in_many_chunks_arrives_whole(serving: Serving, exposition: FakeExposition) -> None:
    exposition.answer = exposition.answer._replace(
        chunks=(b"up 1\n", b"a" * PART_BYTES, b"b", b"c" * (3 * PART_BYTES), b"d")
    )
    with serving(create_app(exposition.scrape, Management(list, lambda: None))) as site:
        answer = requests.get(f"{site.url}/metrics", timeout=TIMEOUT)
    assert answer.content == exposition.answer.body
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_a_page_gives_the_interpreter_back_sooner_while_it_works(serving: Serving, exposition: FakeExposition) -> None:
    seen: list[float] = []

    def page(_: Request) -> Response:
        seen.append(sys.getswitchinterval())
        return PlainTextResponse("done")

    sys.setswitchinterval(0.005)  # whatever other tests have left
    app = create_app(exposition.scrape, Management(list, lambda: None), routes=[Route("/", one_at_a_time(page))])
    with serving(app) as site:
        assert requests.get(site.url, timeout=TIMEOUT).text == "done"
    assert seen == [pytest.approx(SWITCH_SECONDS)]
    assert sys.getswitchinterval() == pytest.approx(0.005)
