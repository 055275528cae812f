"""Marked secrets go in by every way there is, through a run full of failures; nothing of them comes out."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from harness import Exporter, run
from trials import world_of

from exporter.simulator import Simulator
from exporter.simulator.messages import Answer, Request
from exporter.simulator.server import Wire
from exporter.simulator.tokens import Grant

pytestmark = pytest.mark.slow

MARK = "marked"
"""Every secret here begins with it, so that a part of one is found as well as the whole."""


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


PASSWORD = f"{MARK}-password-of-the-web"
LOGIN = {"Authorization": basic("reader", PASSWORD)}
BRANDS = ("value", "file", "token", "token-file", "environment")


class Echo:
    """Stand in for the API: fail every second request with words that repeat what it was sent.

    As it is, where a long message is cut, escaped, in place of text, behind many blanks, and in headers.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.echoing = False
        self.echoed = 0
        self._api, simulator._api = simulator._api, self  # type: ignore[assignment]
        self._numbers = count()
        self._statuses = cycle((200, 400, 401, 403, 404, 418, 429, 500, 502, 504))

    def serve(self, request: Request, wire: Wire) -> None:
        number = next(self._numbers)
        if not self.echoing or number % 2:
            self._api.serve(request, wire)
            return
        sent = request.headers.get("x-token") or json.loads(request.body)["client_secret"]
        documents: list[dict[str, Any]] = [
            {"message": f"you sent {sent}, {sent}"},
            {"message": "x" * (180 + number % 20) + sent},
            {"error": [sent, {"token": sent}]},
            {"error": " " * (790 + number % 20) + sent},
            {"message": sent * 20},
        ]
        body = json.dumps({"success": False, **documents[number // 2 % len(documents)]}).replace("/", "\\/")
        self.echoed += 1
        headers = {"X-Echo": sent, "RateLimit-Reset": "1", "Set-Cookie": f"token={sent}", "Location": f"http://{sent}/"}
        wire.send(Answer(next(self._statuses), body.encode(), headers))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A Clopos whose client secrets and tokens are marked."""
    world = world_of(BRANDS, (3, 3))
    for brand in BRANDS:
        world._brand(brand).client_secret = f"{MARK}-secret/of-{brand}"
    with Simulator(world, tiers=None) as simulator:
        tokens, issue = simulator.tokens, simulator.tokens.issue

        def issue_marked(brand: str) -> tuple[str, Grant]:
            token, grant = issue(brand)
            tokens._grants[f"{MARK}.{token}"] = grant
            return f"{MARK}.{token}", grant

        for brand in BRANDS:
            tokens._grants[f"{MARK}.token.{brand}"] = issue(brand)[1]
        tokens.issue = issue_marked  # type: ignore[method-assign]
        yield simulator


@pytest.fixture
def echo(simulator: Simulator) -> Echo:
    return Echo(simulator)


class Outlets:
    """Everything that came out, by where it came out."""

    def __init__(self) -> None:
        self.said: dict[str, bytes] = {}

    def add(self, where: str, what: bytes | str) -> None:
        self.said[where] = self.said.get(where, b"") + (what.encode() if isinstance(what, str) else what)

    def leaks(self) -> dict[str, str]:
        """Return what stands around each mark that is found."""
        found = {where: said.find(MARK.encode()) for where, said in self.said.items()}
        return {where: str(self.said[where][max(0, at - 200) : at + 60]) for where, at in found.items() if at >= 0}


def every_way_in(simulator: Simulator, folder: Path) -> tuple[dict[str, object], dict[str, str]]:
    """Return a configuration and an environment that hold a secret in each way they can."""
    common = {"base_url": simulator.url, "requests_per_minute": 300}
    logins = {brand: {**simulator.credentials(brand), **common} for brand in BRANDS}
    secret_of = {brand: str(login.pop("client_secret")) for brand, login in logins.items()}
    (folder / "secret").write_text(secret_of["file"] + "\n")
    (folder / "token").write_text(f"{MARK}.token.token-file\n")
    brands = [
        {**logins["value"], "client_secret": secret_of["value"]},
        {**logins["file"], "client_secret_file": str(folder / "secret")},
        {"brand": "token", "token": f"{MARK}.token.token", **common},
        {"brand": "token-file", "token_file": str(folder / "token"), **common},
        {"brand": "environment"},
    ]
    env = {f"CLOPOS_{key.upper()}": str(value) for key, value in logins["environment"].items()}
    env |= {"CLOPOS_CLIENT_SECRET": secret_of["environment"]}
    config: dict[str, object] = {
        "poll_interval": "1s",
        "discovery_interval": "1s",
        "state": {"path": "state.db"},
        "brands": brands,
    }
    return config, env


def look(exporter: Exporter, outlets: Outlets) -> None:
    """Read everything that the running process answers and shows."""
    paths = ["/metrics", "/", "/changes", "/venue?brand=value&id=1", "/-/ready", "/-/healthy", "/api/v1/stations"]
    paths += ["/api/v1/venues", "/api/v1/changes", "/api/v1/openapi.json", "/api/v1/nothing", "/nothing"]
    for path in paths:
        answer = exporter.get(path, **LOGIN)
        outlets.add(path, str(dict(answer.headers)).encode() + answer.body)
        assert answer.status < 500 or path == "/-/ready"
    outlets.add("openmetrics", exporter.get("/metrics", Accept="application/openmetrics-text", **LOGIN).body)
    outlets.add("refused", exporter.get("/metrics", Authorization=basic("reader", f"{MARK}-guess")).body)
    process = Path(f"/proc/{exporter.pid}")
    outlets.add("cmdline", (process / "cmdline").read_bytes())
    outlets.add("thread names", b"".join(thread.read_bytes() for thread in process.glob("task/*/comm")))


@pytest.mark.parametrize("log_format", ["json", "logfmt"])
def test_no_secret_comes_out_anywhere(simulator: Simulator, echo: Echo, tmp_path: Path, log_format: str) -> None:
    config, env = every_way_in(simulator, tmp_path)
    web = tmp_path / "web.yml"
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    web.write_text(f"basic_auth_users: {{reader: '{hashed}'}}\n")
    outlets = Outlets()
    flags = [f"--web.config.file={web}"]
    folder = tmp_path / "exporter"
    with Exporter(folder, config, env=env, flags=flags, log_level="debug", log_format=log_format) as exporter:
        exporter.until(lambda: len(simulator.traffic.entries(endpoint="stations")) >= 10, "polls of all brands")
        look(exporter, outlets)
        echo.echoing = True
        for brand in ("value", "file", "environment"):
            simulator.tokens.revoke(brand)
        for _ in range(3):
            reload_with_mistakes(exporter, outlets)  # the good one, at the end, lets it ask again what was refused
            look(exporter, outlets)
            wait_for_failures(exporter, echo)
    outlets.add("log", exporter.log)
    outlets.add("standard error", exporter.errors)
    for file in exporter.folder.glob("state.db*"):
        outlets.add(file.name, file.read_bytes())
    assert "<secret>" in exporter.log
    assert "***" not in exporter.log, "the net below the log had to catch one"
    assert hashed not in str(outlets.said)
    assert not outlets.leaks()


def reload_with_mistakes(exporter: Exporter, outlets: Outlets) -> None:
    """Put secrets where they are mistakes, and read what is said of that."""
    good = exporter.config_file.read_text()
    for text in mistakes(good):
        exporter.configure(text)
        answer = exporter.get("/-/reload", method="POST", **LOGIN)
        assert answer.status == 400, text
        outlets.add("reload", answer.body)
    exporter.configure(good)
    answer = exporter.get("/-/reload", method="POST", **LOGIN)
    assert answer.status == 200
    outlets.add("reload", answer.body)


def wait_for_failures(exporter: Exporter, echo: Echo) -> None:
    enough = echo.echoed + 10
    exporter.until(lambda: echo.echoed > enough, "failures")


def mistakes(good: str) -> Iterator[str]:
    """Return configurations in which a secret stands where it does not belong."""
    line = next(line for line in good.splitlines() if "client_secret: " in line)
    for wrong in (
        line.replace("client_secret:", "client_secrets:"),
        line.replace("client_secret: ", "client_secret: [") + "]",
        line.replace("client_secret: ", "client_secret: {a: ") + "}",
        line.replace("client_secret: ", "client_secret: !!python/object "),
        line.replace("client_secret: ", "client_secret: *"),
        line.replace("client_secret: ", "client_secret: '"),
        line.replace("client_secret: ", "client_secret: |\n    ") + "\n    two lines",
        line.replace("client_secret: ", "client_secret_file: "),
        line + f"\n  token: {MARK}-token with blanks",
        line + f"\n  base_url: https://user:{MARK}-password@host/",
    ):
        yield good.replace(line, wrong)


@pytest.mark.parametrize("command", [["check"], ["stations"], ["stations", "--output=json"]])
def test_no_secret_comes_out_of_a_command(simulator: Simulator, echo: Echo, tmp_path: Path, command: list[str]) -> None:
    config, env = every_way_in(simulator, tmp_path)
    file = tmp_path / "clopos.yml"
    file.write_text(json.dumps(config))
    echo.echoing = True
    answer = run(*command, f"--config.file={file}", env=env, cwd=tmp_path)
    assert answer.returncode == 1
    assert "<secret>" in answer.stdout + answer.stderr
    outlets = Outlets()
    outlets.add("out", answer.stdout)
    outlets.add("err", answer.stderr)
    assert not outlets.leaks()
