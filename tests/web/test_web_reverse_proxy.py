"""The examples for reverse proxies, the one for nginx with a real nginx."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml
from cryptography import x509
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route
from web_fakes import FakeChecks, FakeExposition, Serving

from benchmarks.certificates import Authority
from exporter.web.endpoints import create_app
from exporter.web.publicurl import PublicURL

EXAMPLES = Path(__file__).parents[2] / "deploy" / "reverse-proxy"
HOST = "status.example.com"
DEADLINE = 20


def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"the page for {request.headers['host']}")


def external_url(example: str) -> str:
    """Return the flags that the example starts the exporter with."""
    [url] = set(re.findall(r"--web\.external-url=(\S+)", (EXAMPLES / example).read_text()))
    return str(url)


@contextmanager
def nginx(program: str, folder: Path, exporter_port: int, authority: Authority) -> Iterator[int]:
    """Run nginx with the example, moved to a free port and to files in the test's folder."""
    pair = authority.issue("proxy", x509.DNSName(HOST))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    site = (EXAMPLES / "nginx.conf").read_text()
    for example, here in {
        "127.0.0.1:10110;": f"127.0.0.1:{exporter_port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/status.example.com.pem": str(pair.certificate),
        "/etc/ssl/private/status.example.com.key": str(pair.key),
    }.items():
        assert example in site
        site = site.replace(example, here)
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log {folder}/access.log;\n{paths}{site}\n}}\n"
    )
    command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            end = time.monotonic() + DEADLINE
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert process.poll() is None, (folder / "error.log").read_text()
                    assert time.monotonic() < end, "nginx does not listen"
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()


@pytest.fixture
def behind_nginx(
    tmp_path: Path, program: Callable[..., str], serving: Serving, exposition: FakeExposition, checks: FakeChecks
) -> Iterator[tuple[int, Authority]]:
    binary = program("nginx", "/usr/sbin/nginx")
    authority = Authority(tmp_path)
    public = PublicURL.of(external_url=external_url("nginx.conf"))
    routes = [Route("/", page), Route("/moved", lambda _: RedirectResponse("./"))]
    app = create_app(exposition.scrape, checks.checks, routes=routes, public=public)
    with serving(app) as site, nginx(binary, tmp_path, site.port, authority) as port:
        yield port, authority


@pytest.mark.slow
def test_the_exporter_works_below_a_path_of_a_site_that_nginx_serves(
    behind_nginx: tuple[int, Authority], checks: FakeChecks, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, authority = behind_nginx
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **named: resolve("127.0.0.1", *rest, **named))
    with requests.Session() as browser:
        browser.verify, browser.trust_env = str(authority.file), False
        site = f"https://{HOST}:{port}"
        base = f"{site}/clopos"

        assert browser.get(f"{base}/", timeout=5).text == f"the page for {HOST}"
        assert browser.get(f"{base}/metrics", timeout=5).text == "up 1\n"
        assert browser.get(f"{base}/-/healthy", timeout=5).text == "healthy\n"
        assert browser.get(f"{base}/moved", timeout=5).url == f"{base}/"
        assert browser.get(f"{base}/nothing", timeout=5).status_code == 404
        assert browser.get(f"{site}/metrics", timeout=5).status_code == 404, "outside of the prefix"
        assert browser.get(f"{base}/", timeout=5).headers["X-Content-Type-Options"] == "nosniff"
        foreign = browser.get(f"{base}/", headers={"Host": "evil.example"}, timeout=5)
        assert foreign.status_code == 403, "nginx passes on the name that was asked for"
        assert browser.post(f"{base}/-/reload", timeout=5).status_code == 403
    assert checks.reloads == 0


def test_traefiks_example_leads_everything_below_the_prefix_to_the_exporter() -> None:
    public = PublicURL.of(external_url=external_url("traefik.yml"))
    http = yaml.safe_load((EXAMPLES / "traefik.yml").read_text())["http"]
    router = http["routers"]["clopos-exporter"]
    assert f"Host(`{HOST}`)" in router["rule"]
    assert f"PathPrefix(`{public.route_prefix}/`)" in router["rule"]
    assert set(router["middlewares"]) == http["middlewares"].keys()
    service = http["services"][router["service"]]["loadBalancer"]
    assert service["servers"] == [{"url": "http://127.0.0.1:10110"}]
    assert service["healthCheck"]["path"] == f"{public.route_prefix}/-/healthy"
    assert public.accepts_host(HOST)
