"""Attack the server and measure what a scrape notices: `make torture`.

The server runs in a process of its own, with a synthetic exposition: 10 MB of text, 0.5 MB compressed, made again every
second as after a poll; and with pages and JSON of 500 venues. Each attack runs beside a Prometheus that scrapes
compressed over one kept connection, a probe that asks for health, a person who reloads, and one who logs in for the
first time where there are passwords. Calm and attacked rounds alternate, and the median of the rounds' p99 counts, so
that a busy neighbour does not decide. Memory is the server's peak during the attack over its peak before; files are
what is open when the attack is over. Ends with 1 where a limit is exceeded.

The attacker runs with the lowest priority: it stands for another machine, and must not take the time of those who
measure. All tables go into docs/reliability.md; arguments choose attacks by name, and print only: `make torture
ARGS="password_flood parameter_flood"`.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import multiprocessing
import os
import random
import socket
import ssl
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from threading import Thread
from typing import NamedTuple

import bcrypt
import click
from tabulate import tabulate

from benchmarks.certificates import Authority
from benchmarks.figures import circumstances, write
from benchmarks.measuring import percentile, resident_mb
from benchmarks.served import view
from exporter.app.daemon import SWITCH_SECONDS
from exporter.clock import Clock
from exporter.journal import Entry, JournalQuery
from exporter.model import BrandState, Incident, Instant
from exporter.priority import ScrapePriority
from exporter.views import BrandView, Scrape, VenueView
from exporter.web.addresses import Address, listen
from exporter.web.api import api_routes
from exporter.web.endpoints import Management, create_app
from exporter.web.pages import page_routes
from exporter.web.server import WebServer
from exporter.web.webconfig_file import WebConfigFile

BODY = 10_000_000
ROUND = 2.0
ROUNDS = 5
PAUSE = 0.004
"""Seconds between the scrapes of a round: there are some 300, so that p99 is not merely the longest of them."""

RATIO = 2.0
"""p99 under attack over p99 in calm, at most, of scrapes and of health."""
QUICK = 2.0
"""Milliseconds that count as calm in any case: below, the machine's own noise is larger than twice."""
SECONDS = 1.0
"""What a reload and a login may take, at most."""
GROWTH = 50.0
"""MB, at most."""
THREADS = 12

DOCUMENT = Path(__file__).parent.parent / "docs" / "reliability.md"

VENUES = 500
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
PASSWORD = "open sesame"  # noqa: S105 - of nothing but this
ATTACKER = "127.0.0.2"
"""Where wrong passwords come from: another peer than those whose time is measured."""


class Target(NamedTuple):
    """Where the server is; `authority` is there when it speaks TLS, `passwords` is True when it asks for them."""

    port: int
    authority: str | None
    passwords: bool

    def connect(self, *, silent: bool = False, source: str = "127.0.0.1") -> socket.socket:
        """Connect, without a handshake if the client is to be silent."""
        raw = socket.create_connection(("127.0.0.1", self.port), 30, (source, 0))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if silent or self.authority is None:
            return raw
        return ssl.create_default_context(cafile=self.authority).wrap_socket(raw, server_hostname="localhost")

    def headers(self, user: str = "prometheus", password: str = PASSWORD) -> dict[str, str]:
        """Return the headers of a login, if there is one."""
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"} if self.passwords else {}

    def seconds(self, method: str, path: str, headers: dict[str, str]) -> float:
        """Ask over a connection of its own, and return how long that took."""
        connection = http.client.HTTPConnection("localhost", self.port)
        began = time.perf_counter()
        connection.sock = self.connect()
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        if response.status != http.client.OK:
            raise RuntimeError(f"{method} {path}: {response.status}")
        return time.perf_counter() - began


class Round(NamedTuple):
    """What was measured in a round: milliseconds of scrapes and health, seconds of reload and of a first login.

    `memory` and `threads` are the resident MB and the threads that the server took at most meanwhile.
    """

    p50: float
    p99: float
    health: float
    reload: float
    login: float
    memory: float
    threads: int


# The attacks: each does its worst in a process of its own, over and over, until it is ended.


def silent_tls(target: Target) -> None:
    """30 connections that never begin the handshake."""
    while True:
        silent = [target.connect(silent=True) for _ in range(30)]
        time.sleep(ROUND)
        for client in silent:
            client.close()


def slow_readers(target: Target) -> None:
    """30 clients that ask for 10 MB and read a little of it now and then."""
    readers = [target.connect() for _ in range(30)]
    for reader in readers:
        with suppress(OSError):
            reader.sendall(REQUEST + b"\r\n")
    while True:
        for reader in readers:
            with suppress(OSError):
                reader.recv(4096)
        time.sleep(0.5)


def returning_slow_readers(target: Target) -> None:
    """30 slow readers that come back, each for a newer answer, when they are sent away."""
    while True:
        with ExitStack() as stack:
            for _ in range(30):
                reader = stack.enter_context(target.connect())
                with suppress(OSError):
                    reader.sendall(REQUEST + b"\r\n")
                    reader.recv(4096)
                time.sleep(0.05)


def slow_heads(target: Target) -> None:
    """200 clients whose request head arrives byte by byte."""
    clients = [target.connect() for _ in range(200)]
    while True:
        for client in clients:
            with suppress(OSError):
                client.sendall(b"G" if random.getrandbits(3) else b"X: y\r\n")
        time.sleep(0.2)


def short_connections(target: Target) -> None:
    """10,000 connections that come and go, a third of them with a request."""
    for number in range(10_000):
        with target.connect() as client:
            if number % 3 == 0:
                client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
                client.recv(4096)
        time.sleep(ROUND / 10_000)
    time.sleep(ROUND)


def pipelining(target: Target) -> None:
    """Thousands of requests sent without waiting for an answer."""
    while True:
        with target.connect() as client, suppress(OSError):
            client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n" * 5_000)
            while client.recv(1 << 20):
                pass
        time.sleep(0.01)


def absurd_requests(target: Target) -> None:
    """Heads of 1 MB, paths of 50 kB, noise."""
    noise = random.Random(1)  # noqa: S311 - repeatable
    heads = [
        REQUEST + b"X: " + b"y" * 1_000_000,
        b"GET /" + b"a" * 50_000 + b" HTTP/1.1\r\n\r\n",
        REQUEST + b"".join(b"X-%d: y\r\n" % number for number in range(5_000)) + b"\r\n",
        b"GET /metrics?" + b"name[]=a&" * 5_000 + b" HTTP/1.1\r\n\r\n",
        noise.randbytes(10_000),
    ]
    while True:
        for head in heads:
            with target.connect() as client, suppress(OSError):
                client.sendall(head)
                client.shutdown(socket.SHUT_WR)
                client.recv(1 << 20)
            time.sleep(0.01)


def huge_bodies(target: Target) -> None:
    """Bodies of 100 MB to the paths that take POST and to those that do not."""
    piece = bytes(1 << 20)
    while True:
        for path in (b"/-/reload", b"/metrics"):
            with target.connect() as client, suppress(OSError):
                client.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
                for _ in range(100):
                    client.sendall(piece)
            time.sleep(0.01)


def parameter_flood(target: Target) -> None:
    """Send requests with 10,000 parameters to the JSON API, the page and the metrics."""
    query = b"&".join(b"%d" % number for number in range(10_000))
    while True:
        for path in (b"/api/v1/stations?", b"/api/v1/changes?", b"/?", b"/metrics?"):
            with target.connect() as client, suppress(OSError):
                client.sendall(b"GET " + path + query + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                while client.recv(1 << 20):
                    pass
            time.sleep(0.005)


def abandoned_requests(target: Target) -> None:
    """40 requests at once for large pages, whose clients leave without waiting for the answer."""
    paths = (b"/api/v1/stations?limit=1000", b"/?rows=500", b"/api/v1/stations?status=unknown", b"/api/v1/changes")
    while True:
        for number in range(40):
            with target.connect() as client, suppress(OSError):
                client.sendall(b"GET " + paths[number % len(paths)] + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.2)


def password_flood(target: Target) -> None:
    """20 clients that guess up to 20 passwords a second each."""

    def guess(number: int) -> None:
        for attempt in range(1 << 30):
            with suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("localhost", target.port)
                connection.sock = target.connect(source=ATTACKER)
                for guessed in range(100):
                    password = f"{number} {attempt} {guessed}"
                    connection.request("GET", "/metrics", headers=target.headers("prometheus", password))
                    connection.getresponse().read()
                    time.sleep(0.05)
                connection.close()

    for number in range(20):
        Thread(target=guess, args=(number,), daemon=True).start()
    time.sleep(3600)


ATTACKS: list[tuple[Callable[[Target], None], str]] = [
    (silent_tls, "TLS"),
    (slow_readers, "TLS"),
    (slow_readers, ""),
    (returning_slow_readers, ""),
    (slow_heads, ""),
    (short_connections, ""),
    (pipelining, ""),
    (absurd_requests, ""),
    (huge_bodies, ""),
    (parameter_flood, ""),
    (abandoned_requests, ""),
    (password_flood, "passwords"),
]
"""What is tried, and against what: plain HTTP, TLS, or passwords."""


PLAIN_TEXT = "text/plain; version=0.0.4"


class Exposition:
    """Answer with 10 MB, rendered again every second as after a poll, or with half a megabyte when compressed."""

    def __init__(self) -> None:
        noise = random.Random(1)  # noqa: S311 - repeatable
        self._compressed = gzip.compress(noise.randbytes(BODY // 20), 1)
        self._made, self._body = -1, b""

    def scrape(self, _: str, accept_encoding: str, __: frozenset[str]) -> Scrape:
        """Answer a scrape."""
        if "gzip" in accept_encoding:
            return Scrape((self._compressed,), PLAIN_TEXT, "gzip")
        if self._made != int(time.monotonic()):
            self._made, self._body = int(time.monotonic()), b"%010d" % time.monotonic_ns() * (BODY // 19)
        return Scrape((self._body,), PLAIN_TEXT, None)


class Source:
    """Return the same venues to pages and JSON at all times."""

    def __init__(self, priority: ScrapePriority) -> None:
        self._clock, self.give_way = Clock(), priority.give_way
        self._views = sorted((view(number) for number in range(VENUES)), key=lambda one: one.state.venue.key)

    def now(self) -> Instant:
        """Return the moment on both clocks."""
        return self._clock.now()

    def venues(self) -> list[VenueView]:
        """Return every venue."""
        return self._views

    def venues_from(self, key: tuple[str, ...], limit: int) -> list[VenueView]:
        """Return the first venues whose keys are not before a key."""
        start = bisect_left(self._views, key, key=lambda one: one.state.venue.key)
        return self._views[start : start + limit]

    def brands(self) -> list[BrandView]:
        """Return every brand."""
        return [BrandView(BrandState("openapitest", seen=True), interval=60.0)]

    def process_incidents(self) -> dict[str, Incident]:
        """Return no incidents."""
        return {}

    def journal(self, _: JournalQuery) -> list[Entry]:
        """Return no changes."""
        return []


def serve(pipe: Connection, web_config_file: Path) -> None:
    """Serve in this process and say on which port."""
    listeners = listen([Address("127.0.0.1", 0)])
    web_config = WebConfigFile(web_config_file)
    pipe.send(listeners[0].getsockname()[1])
    priority = ScrapePriority()
    source = Source(priority)
    app = create_app(
        Exposition().scrape,
        Management(list, lambda: None),
        routes=[*page_routes(source), *api_routes(source)],
        web_config=web_config,
        priority=priority,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    WebServer(app, listeners, web_config).run()


@contextmanager
def serving(folder: Path, protection: str) -> Iterator[tuple[Target, int]]:
    """Run a server in another process, and yield where it is and that process' id."""
    authority, text = None, ""
    if protection == "TLS":
        issuer = Authority(folder)
        issuer.issue("server")
        authority = str(issuer.file)
        text = "tls_server_config: {cert_file: server.pem, key_file: server.key}"
    elif protection:
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
        users = ["prometheus", *(f"user-{number}" for number in range(2 * ROUNDS))]
        text = "basic_auth_users:\n" + "".join(f"  {user}: {hashed}\n" for user in users)
    web_config = folder / "web.yml"
    web_config.write_text(text)
    ours, theirs = multiprocessing.Pipe()
    # Spawned, not forked, so that what it holds is its own.
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, web_config), daemon=True)
    process.start()
    try:
        yield Target(ours.recv(), authority, protection == "passwords"), process.pid or 0
    finally:
        process.kill()
        process.join()


def measure(target: Target, pid: int, user: str, encoding: str = "gzip") -> Round:
    """Scrape as Prometheus does and ask for health, for a round; reload, and log in for the first time."""
    scrapes: list[float] = []
    health: list[float] = []
    memory, threads = 0.0, 0
    connection = http.client.HTTPConnection("localhost", target.port)
    connection.sock = target.connect()
    reload = target.seconds("POST", "/-/reload", target.headers())
    login = target.seconds("GET", "/metrics?name[]=up", target.headers(user))
    end = time.monotonic() + ROUND
    while time.monotonic() < end or not scrapes:
        for path, taken in (("/metrics", scrapes), ("/-/healthy", health)):
            began = time.perf_counter()
            connection.request("GET", path, headers={"Accept-Encoding": encoding, **target.headers()})
            response = connection.getresponse()
            response.read()
            taken.append(time.perf_counter() - began)
            if response.status != http.client.OK:
                raise RuntimeError(f"{path}: {response.status}")
        memory = max(memory, resident_mb(pid))
        threads = max(threads, len(list(Path(f"/proc/{pid}/task").iterdir())))
        time.sleep(PAUSE)
    connection.close()
    p50, p99, healthy = percentile(scrapes, 50), percentile(scrapes, 99), percentile(health, 99)
    return Round(1e3 * p50, 1e3 * p99, 1e3 * healthy, reload, login, memory, threads)


def begin(attack: Callable[[Target], None], target: Target) -> None:
    """Attack in this process, at the lowest priority."""
    os.nice(19)
    attack(target)


def open_files(pid: int) -> int:
    """Count what a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def torture(attack: Callable[[Target], None], protection: str) -> tuple[list[object], bool]:
    """Measure calm and attacked rounds in turn; return a line of the table, and whether all is within its limits."""
    calm, attacked = [], []
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), protection) as (target, pid):
        # The server then holds its 10 MB and its tiles, which is no harm that an attack does.
        measure(target, pid, "prometheus", "identity")
        target.seconds("GET", "/?rows=500", target.headers())
        files = open_files(pid)
        for number in range(ROUNDS):
            calm.append(measure(target, pid, f"user-{2 * number}"))
            attacker = multiprocessing.Process(target=begin, args=(attack, target), daemon=True)
            attacker.start()
            time.sleep(0.3)
            attacked.append(measure(target, pid, f"user-{2 * number + 1}"))
            attacker.kill()
            attacker.join()
        time.sleep(1)
        files = open_files(pid) - files
    calm_p99, p99 = (median(r.p99 for r in rounds) for rounds in (calm, attacked))
    calm_health, health = (max(QUICK, median(r.health for r in rounds)) for rounds in (calm, attacked))
    reload, login = (median(getattr(r, name) for r in attacked) for name in ("reload", "login"))
    growth = max(r.memory for r in attacked) - calm[0].memory
    threads = max(r.threads for r in attacked)
    within = (
        p99 <= RATIO * max(QUICK, calm_p99)
        and health <= RATIO * calm_health
        and max(reload, login) <= SECONDS
        and growth <= GROWTH
        and threads <= THREADS
        and files <= 0
    )
    figures = [median(r.p50 for r in attacked), calm_p99, p99, p99 / calm_p99, health / calm_health]
    more = [f"{reload:.2f}", f"{login:.2f}", growth, threads, files, "yes" if within else "**no**"]
    return [title(attack, protection), *figures, *more], within


def title(attack: Callable[[Target], None], protection: str) -> str:
    """Return what the row of an attack begins with."""
    return attack.__name__.replace("_", " ") + (" over TLS" if protection == "TLS" and attack is not silent_tls else "")


HEADERS = [
    "attack",
    "p50 ms",
    "calm p99 ms",
    "p99 ms",
    "ratio",
    "health ratio",
    "reload s",
    "login s",
    "MB more",
    "threads",
    "files left",
    "within limits",
]


def main(chosen: list[str]) -> int:
    """Run every attack, or those that are chosen, and print the table."""
    lines = []
    for attack, protection in ATTACKS:
        if chosen and attack.__name__ not in chosen:
            continue
        line, within = torture(attack, protection)
        lines.append((line, within))
        click.echo(f"{line[0]}: {'within' if within else 'over'} the limits", err=True)
    table = tabulate([line for line, _ in lines], HEADERS, "github", floatfmt=".1f")
    click.echo(table)
    if not chosen:
        write("attacks", f"{circumstances()}\n\n{table}", DOCUMENT)
    return 0 if all(within for _, within in lines) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
