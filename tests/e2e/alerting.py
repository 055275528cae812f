"""Prometheus, Alertmanager and somebody who receives, on loopback; minutes of the rules become seconds."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple, Self, TypeVar

import requests
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm/clopos-exporter/files/rules.yaml"
ALERTMANAGER = ROOT / "monitoring/alertmanager"

FASTER = 20
"""What the rules wait three minutes for, they wait nine seconds for."""

T = TypeVar("T")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


WINDOW = 45
"""Seconds that a window has at least: a busy machine takes long to start an exporter again."""

UNHURRIED = "[20m]"
"""A window that outlasts the quarter of an hour for which Prometheus sends what ended, which nothing shortens."""


def faster(text: str) -> str:
    """Shorten every duration in a text."""

    def shorter(found: re.Match[str]) -> str:
        if found[0] + "]" == UNHURRIED:
            return found[0]
        least = WINDOW if found[1] else 1
        return f"{found[1]}{max(least, int(found[2]) * _UNITS[found[3]] // FASTER)}s"

    return re.sub(r"(\[|\b)(\d+)([smhd])\b", shorter, text)


def faster_rules() -> dict[str, Any]:
    """Return the rules as they ship, in less time: intervals of a second, every other duration in proportion."""
    document: dict[str, Any] = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in document["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["expr"] = faster(rule["expr"])
            if "for" in rule:
                rule["for"] = faster(rule["for"])
    return document


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(seen: Callable[[], T | None], what: str, seconds: float) -> T:
    """Wait until something is seen, and return it."""
    end = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < end, f"no {what} in {seconds} s"
        time.sleep(0.1)
    return found


class Message(NamedTuple):
    """What a channel was sent, and when, in seconds of the monotonic clock."""

    channel: str
    title: str
    text: str
    at: float


class Receiver:
    """Take in what Alertmanager sends to its channels."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.alerts: list[dict[str, Any]] = []
        """Every alert of every notification, firing or resolved, as Alertmanager's webhook has it."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if "alerts" in sent:
                    outer.alerts += sent["alerts"]
                else:
                    message = sent["attachments"][0]
                    outer.messages.append(Message(sent["channel"], message["title"], message["text"], time.monotonic()))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def since(self, moment: float, channel: str = "#shift") -> list[Message]:
        """Return what a channel was sent after a moment."""
        return [message for message in self.messages if message.channel == channel and message.at >= moment]

    def wait_for(self, title: str, since: float, *, seconds: float = 90) -> Message:
        """Wait for a message with these words in its title."""
        return until(
            lambda: next((one for one in self.messages if one.at >= since and title in one.title), None),
            f"message with {title!r} among {[one.title for one in self.messages]}",
            seconds,
        )


class Server:
    """A real program in a process of its own."""

    READY = "/-/ready"

    def __init__(self, command: Sequence[str], folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._command, self._folder = command, folder
        self._log = folder / "log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, on the same port each time, and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._folder)
        until(self._ready, f"{self._command[0]}; {self._log.read_text()}", 90)

    def stop(self) -> None:
        """Let it end, and wait for that."""
        self._process.terminate()
        self._process.wait(60)

    def _ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return requests.get(f"{self.url}{self.READY}", timeout=2).ok
        except requests.RequestException:
            return False

    def get(self, path: str, **query: str) -> Any:
        """Ask its API; the answer is JSON."""
        answer = requests.get(f"{self.url}{path}", query, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def post(self, path: str, body: object) -> None:
        """Send JSON to its API."""
        assert requests.post(f"{self.url}{path}", json=body, timeout=30).ok


class Prometheus(Server):
    """A Prometheus that scrapes exporters every second and evaluates the rules that ship, in less time."""

    def __init__(
        self, program: str, folder: Path, targets: Sequence[str], alertmanager: str = "", *, has_rules: bool = True
    ) -> None:
        folder.mkdir()
        port = free_port()
        (folder / "rules.yml").write_text(yaml.safe_dump(faster_rules() if has_rules else {"groups": []}))
        host = alertmanager.removeprefix("http://")
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {
                    "job_name": "clopos",
                    "static_configs": [{"targets": [url.removeprefix("http://") for url in targets]}],
                }
            ],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [host]}]}] if host else []},
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        super().__init__(
            [
                program,
                "--config.file=prometheus.yml",
                f"--web.listen-address=127.0.0.1:{port}",
                "--storage.tsdb.path=data",
                f"--rules.alert.resend-delay={faster('1m')}",
                "--web.enable-remote-write-receiver",
            ],
            folder,
            port,
        )

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Evaluate an expression now."""
        answer = self.get("/api/v1/query", query=expr)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def firing(self, **labels: str) -> list[str]:
        """Return the names of the alerts that fire."""
        matchers = "".join(f',{key}="{value}"' for key, value in labels.items())
        return sorted(found["metric"]["alertname"] for found in self.query(f'ALERTS{{alertstate="firing"{matchers}}}'))


class Alertmanager(Server):
    """An Alertmanager with the example that ships, its waits shortened, that sends to a receiver."""

    def __init__(self, program: str, folder: Path, receiver: Receiver) -> None:
        folder.mkdir()
        shutil.copytree(ALERTMANAGER / "templates", folder / "templates")
        for name in ("shift.url", "it.url"):
            (folder / name).write_text(receiver.url)
        text = (ALERTMANAGER / "alertmanager.yml").read_text(encoding="utf-8")
        waits = r"^( *)(group_wait|group_interval): (\w+)"
        text = re.sub(waits, lambda m: f"{m[1]}{m[2]}: {faster(m[3])}", text, flags=re.MULTILINE)
        webhook = f"    webhook_configs: [{{url: '{receiver.url}'}}]\n"
        text = text.replace("  - name: shift\n", f"  - name: shift\n{webhook}")
        (folder / "alertmanager.yml").write_text(text)
        port = free_port()
        super().__init__(
            [
                program,
                "--config.file=alertmanager.yml",
                f"--web.listen-address=127.0.0.1:{port}",
                "--storage.path=data",
                "--cluster.listen-address=",
            ],
            folder,
            port,
        )


class Vmalert(Server):
    """VictoriaMetrics' rule engine: the rules that ship, in less time, read from and written to a Prometheus."""

    READY = "/health"

    def __init__(self, program: str, folder: Path, prometheus: Prometheus, alertmanager: Alertmanager) -> None:
        folder.mkdir()
        port = free_port()
        (folder / "rules.yml").write_text(yaml.safe_dump(faster_rules()))
        super().__init__(
            [
                program,
                "-rule=rules.yml",
                f"-httpListenAddr=127.0.0.1:{port}",
                f"-datasource.url={prometheus.url}",
                f"-remoteWrite.url={prometheus.url}",
                "-remoteWrite.flushInterval=1s",
                "-rule.evalDelay=0s",
                f"-notifier.url={alertmanager.url}",
            ],
            folder,
            port,
        )

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health and last error."""
        groups: list[dict[str, Any]] = self.get("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]
