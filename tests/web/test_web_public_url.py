"""Under which names and paths the exporter answers."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import requests
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from web_fakes import FakeChecks, FakeExposition, Serving, Site

from exporter.errors import ConfigError
from exporter.web.addresses import Address
from exporter.web.endpoints import create_app
from exporter.web.publicurl import PublicURL
from exporter.web.webconfig_file import WebConfigFile

TIMEOUT = 5
ROUTES = [Route("/", lambda _: PlainTextResponse("page")), Route("/api/v1/venues", lambda _: PlainTextResponse("{}"))]
LISTENING = [Address("exporter.lan", 10110), Address("", 10110)]
PUBLIC = PublicURL.of(
    LISTENING, external_url="https://Status.example.com/clopos/", route_prefix="/", allowed_hosts=["Monitor"]
)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "127.0.0.1:10110",
        "[::1]:10110",
        "[2001:db8::1]",
        "192.168.1.7",
        "localhost",
        "LOCALHOST:10110",
        "exporter.lan:10110",
        "status.example.com",
        "status.example.com.:443",
        "monitor:10110",
    ],
)
def test_names_that_are_ours(host: str) -> None:
    assert PUBLIC.accepts_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:10110",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "status.example.com.evil.example",
        "evilstatus.example.com",
        "127.1",
        "[::1",
        "localhost@evil.example",
        "x, localhost",
    ],
)
def test_names_that_are_not(host: str) -> None:
    assert not PUBLIC.accepts_host(host)


def test_the_check_can_be_switched_off() -> None:
    assert PublicURL.of(allowed_hosts=["*"]).accepts_host("anything.example")


@pytest.mark.parametrize(
    ("external_url", "route_prefix", "prefix"),
    [
        ("", None, ""),
        ("https://example.com", None, ""),
        ("https://example.com/", None, ""),
        ("https://example.com/clopos/", None, "/clopos"),
        ("https://example.com/a/b", None, "/a/b"),
        ("https://example.com/clopos", "/", ""),
        ("https://example.com/clopos", "", ""),
        ("https://example.com/clopos", "other/", "/other"),
        ("", "/clopos", "/clopos"),
    ],
)
def test_the_path_of_the_external_url_is_the_route_prefix_unless_that_is_given(
    external_url: str, route_prefix: str | None, prefix: str
) -> None:
    assert PublicURL.of(external_url=external_url, route_prefix=route_prefix).route_prefix == prefix


def test_every_fault_of_the_flags_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        PublicURL.of(route_prefix="/a b", allowed_hosts=["https://x", "a:1"])
    assert [fault.place for fault in caught.value.faults] == [
        "--web.route-prefix",
        "--web.allowed-host",
        "--web.allowed-host",
    ]
    with pytest.raises(ConfigError, match=r"--web\.external-url"):
        PublicURL.of(external_url="https://example.com/a/../b")


@pytest.fixture
def public_site(serving: Serving, exposition: FakeExposition, checks: FakeChecks) -> Iterator[Site]:
    with serving(create_app(exposition.scrape, checks.checks, routes=ROUTES, public=PUBLIC)) as site:
        yield site


def ask(site: Site, method: str, path: str, *hosts: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=TIMEOUT)
    connection.putrequest(method, path, skip_host=True)
    for host in hosts:
        connection.putheader("Host", host)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    text = f"{answer.headers}{answer.read().decode()}"
    connection.close()
    return answer.status, text


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/api/v1/venues"), ("POST", "/-/reload"), ("GET", "/nothing")]
)
def test_a_page_of_another_site_reaches_nothing_by_pointing_its_name_here(
    public_site: Site, checks: FakeChecks, method: str, path: str
) -> None:
    for hosts in (["evil.example"], ["localhost", "evil.example"], ["evil.example:10110"]):
        status, text = ask(public_site, method, path, *hosts)
        assert status == 403
        assert "evil.example" not in text
    assert checks.reloads == 0
    assert ask(public_site, method, path, "status.example.com")[0] in (200, 404)


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready"])
def test_machines_may_call_it_what_they_like(public_site: Site, path: str) -> None:
    assert ask(public_site, "GET", path, "any.name.example")[0] == 200


def test_the_page_behind_a_proxy_can_reload(public_site: Site, checks: FakeChecks) -> None:
    """The proxy passes on another Host than the one that the browser sees."""
    assert ask(public_site, "POST", "/-/reload", "127.0.0.1", Origin="https://status.example.com")[0] == 200
    assert ask(public_site, "POST", "/-/reload", "127.0.0.1", Origin="https://other.example.com")[0] == 403
    assert checks.reloads == 1


@pytest.fixture
def prefixed_site(serving: Serving, exposition: FakeExposition, checks: FakeChecks) -> Iterator[Site]:
    public = PublicURL.of(external_url="https://example.com/clopos")
    with serving(create_app(exposition.scrape, checks.checks, routes=ROUTES, public=public)) as site:
        yield site


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready", "/api/v1/venues"])
def test_everything_is_served_below_the_prefix_and_nowhere_else(prefixed_site: Site, path: str) -> None:
    assert requests.get(f"{prefixed_site.url}/clopos{path}", timeout=TIMEOUT).status_code == 200
    assert requests.get(f"{prefixed_site.url}/closed{path}", timeout=TIMEOUT).status_code == 404
    if path != "/":
        assert requests.get(prefixed_site.url + path, timeout=TIMEOUT).status_code == 404


@pytest.mark.parametrize("path", ["/", "/clopos", "/clopos?x=1"])
def test_the_root_leads_to_the_prefix_whatever_the_host_is_called(prefixed_site: Site, path: str) -> None:
    answer = requests.get(
        prefixed_site.url + path, headers={"Host": "evil.example"}, allow_redirects=False, timeout=TIMEOUT
    )
    assert (answer.status_code, answer.headers["Location"]) == (302, "/clopos/")


def test_a_slash_too_many_leads_nowhere(public_site: Site) -> None:
    answer = requests.get(f"{public_site.url}/-/healthy/", allow_redirects=False, timeout=TIMEOUT)
    assert answer.status_code == 404
    assert "Location" not in answer.headers


def test_below_a_prefix_nothing_but_health_is_open_and_read_only_users_do_not_reload(
    tmp_path: Path, serving: Serving, exposition: FakeExposition, checks: FakeChecks
) -> None:
    hashed = bcrypt.hashpw(b"marked", bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{bob: {hashed}}}\nread_only_users: [bob]")
    web_config = WebConfigFile(tmp_path / "web.yml")
    app = create_app(
        exposition.scrape,
        checks.checks,
        routes=ROUTES,
        public=PublicURL.of(route_prefix="/clopos"),
        web_config=web_config,
    )
    with serving(app) as site:
        for path in ("/", "/-/healthy", "/metrics", "/clopos/", "/clopos/metrics", "/clopos/-/reload"):
            assert requests.get(site.url + path, timeout=TIMEOUT).status_code == 401
        assert requests.get(f"{site.url}/clopos/-/healthy", timeout=TIMEOUT).status_code == 200
        bob = ("bob", "marked")
        assert requests.get(f"{site.url}/clopos/metrics", auth=bob, timeout=TIMEOUT).status_code == 200
        assert requests.post(f"{site.url}/clopos/-/reload", auth=bob, timeout=TIMEOUT).status_code == 403
    assert checks.reloads == 0
