"""The real Prometheus and this server."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import requests
import yaml
from web_fakes import FakeChecks, FakeExposition, Serving

from benchmarks.certificates import Authority
from exporter.web.endpoints import create_app
from exporter.web.webconfig_file import WebConfigFile

DEADLINE = 30


@pytest.mark.slow
def test_prometheus_scrapes_over_mutual_tls_with_a_password(
    tmp_path: Path,
    program: Callable[..., str],
    serving: Serving,
    exposition: FakeExposition,
    checks: FakeChecks,
) -> None:
    prometheus = program("prometheus")
    authority = Authority(tmp_path)
    authority.issue("server")
    client = authority.issue("prometheus")
    web = {
        "tls_server_config": {
            "cert_file": "server.pem",
            "key_file": "server.key",
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": authority.file.name,
            "client_allowed_sans": ["127.0.0.1"],
        },
        "basic_auth_users": {"prometheus": bcrypt.hashpw(b"marked password", bcrypt.gensalt(10)).decode()},
    }
    (tmp_path / "web.yml").write_text(yaml.safe_dump(web))
    exposition.answer = exposition.answer._replace(chunks=(b"# TYPE kitchen gauge\nkitchen 7\n",))
    web_config = WebConfigFile(tmp_path / "web.yml")
    with serving(create_app(exposition.scrape, checks.checks, web_config=web_config), web_config=web_config) as site:
        scrape: dict[str, Any] = {
            "scheme": "https",
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "tls_config": {
                "ca_file": str(authority.file),
                "cert_file": str(client.certificate),
                "key_file": str(client.key),
            },
            "static_configs": [{"targets": [f"127.0.0.1:{site.port}"]}],
        }
        password = {"basic_auth": {"username": "prometheus", "password": "marked password"}}
        jobs = [{"job_name": "trusted"} | scrape | password, {"job_name": "without-password"} | scrape]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": jobs}))
        port = free_port()
        command = [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        with subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                assert first_value(port, 'kitchen{job="trusted"}') == "7"
                assert first_value(port, 'up{job="trusted"}') == "1"
                assert first_value(port, 'up{job="without-password"}') == "0"
            finally:
                process.terminate()
    accept, encoding, _ = exposition.asked[0]
    assert "application/openmetrics-text" in accept
    assert encoding == "gzip"


def first_value(port: int, query: str) -> str:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            answer = requests.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, timeout=5).json()
            if answer["data"]["result"]:
                return str(answer["data"]["result"][0]["value"][1])
        except (requests.ConnectionError, KeyError):
            pass
        time.sleep(0.2)
    pytest.fail(f"Prometheus knows nothing of {query}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
