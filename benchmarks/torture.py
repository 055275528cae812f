"""Attack the server and measure what a scrape notices: `make torture`.

The server runs in a process of its own, with a synthetic exposition: 10 MB of text, 0.5 MB compressed, made anew every
second as after a poll. Each attack runs beside a Prometheus that scrapes compressed over one kept connection. Calm and
attacked rounds alternate, and the median of the rounds' p99 counts, so that a busy neighbour does not decide. Memory is
the server's peak during the attack over its peak before; files are what is open when the attack is over. Ends with 1
where a limit is exceeded.
"""

from __future__ import annotations

import gzip
import http.client
import multiprocessing
import random
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
from tabulate import tabulate

from benchmarks.measuring import percentile, resident_mb
from exporter.web.addresses import Address, listen
from exporter.web.endpoints import Checks, create_app
from exporter.web.server import Server
from exporter.web.webconfig_file import WebConfigFile
from tests.web.certificates import Authority

BODY = 10_000_000
ROUND = 2.0
ROUNDS = 5
PAUSE = 0.02

RATIO = 2.0
"""p99 under attack over p99 in calm, at most."""
GROWTH = 50.0
"""MB, at most."""
THREADS = 12

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


class Target(NamedTuple):
    """Where the server is; `authority` is there when it speaks TLS."""

    port: int
    authority: str | None

    def connect(self, *, silent: bool = False) -> socket.socket:
        """Connect, without a handshake if the client is to be silent."""
        raw = socket.create_connection(("127.0.0.1", self.port), 30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if silent or self.authority is None:
            return raw
        return ssl.create_default_context(cafile=self.authority).wrap_socket(raw, server_hostname="localhost")


class Round(NamedTuple):
    """Milliseconds of the scrapes of a round, and the resident MB and threads the server took at most meanwhile."""

    p50: float
    p99: float
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


ATTACKS: list[tuple[Callable[[Target], None], bool]] = [
    (silent_tls, True),
    (slow_readers, True),
    (slow_readers, False),
    (returning_slow_readers, False),
    (slow_heads, False),
    (short_connections, False),
    (pipelining, False),
    (absurd_requests, False),
    (huge_bodies, False),
]
"""What is tried, and whether over TLS."""


class Scrape(NamedTuple):
    """An answer."""

    body: bytes
    content_type: str = "text/plain; version=0.0.4"
    content_encoding: str | None = None


class Exposition:
    """Answer with 10 MB, made anew every second as after a poll, or with half a megabyte when compressed."""

    def __init__(self) -> None:
        noise = random.Random(1)  # noqa: S311 - repeatable
        self._compressed = gzip.compress(noise.randbytes(BODY // 20), 1)
        self._made, self._body = -1, b""

    def scrape(self, _: str, accept_encoding: str, __: frozenset[str]) -> Scrape:
        """Answer a scrape."""
        if "gzip" in accept_encoding:
            return Scrape(self._compressed, content_encoding="gzip")
        if self._made != int(time.monotonic()):
            self._made, self._body = int(time.monotonic()), b"%010d" % time.monotonic_ns() * (BODY // 19)
        return Scrape(self._body)


def serve(pipe: Connection, web_config_file: Path | None) -> None:
    """Serve in this process and say on which port."""
    listeners = listen([Address("127.0.0.1", 0)])
    web_config = None if web_config_file is None else WebConfigFile(web_config_file)
    pipe.send(listeners[0].getsockname()[1])
    Server(create_app(Exposition(), Checks(list, lambda: None)), listeners, web_config).run()


@contextmanager
def serving(folder: Path, *, tls: bool) -> Iterator[tuple[Target, int]]:
    """Give a server in another process, and that process' id."""
    authority, web_config = None, None
    if tls:
        issuer = Authority(folder)
        issuer.issue("server")
        authority = str(issuer.file)
        web_config = folder / "web.yml"
        web_config.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}")
    ours, theirs = multiprocessing.Pipe()
    # Spawned, not forked, so that what it holds is its own.
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, web_config), daemon=True)
    process.start()
    try:
        yield Target(ours.recv(), authority), process.pid or 0
    finally:
        process.kill()
        process.join()


def measure(target: Target, pid: int, encoding: str = "gzip") -> Round:
    """Scrape as Prometheus does, for a round."""
    seconds: list[float] = []
    memory, threads = 0.0, 0
    connection = http.client.HTTPConnection("127.0.0.1", target.port)
    connection.sock = target.connect()
    end = time.monotonic() + ROUND
    while time.monotonic() < end or not seconds:
        began = time.perf_counter()
        connection.request("GET", "/metrics", headers={"Accept-Encoding": encoding})
        connection.getresponse().read()
        seconds.append(time.perf_counter() - began)
        memory = max(memory, resident_mb(pid))
        threads = max(threads, len(list(Path(f"/proc/{pid}/task").iterdir())))
        time.sleep(PAUSE)
    connection.close()
    return Round(1e3 * percentile(seconds, 50), 1e3 * percentile(seconds, 99), memory, threads)


def open_files(pid: int) -> int:
    """Count what a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def torture(attack: Callable[[Target], None], *, tls: bool) -> tuple[list[object], bool]:
    """Measure calm and attacked rounds in turn; give a line of the table, and whether everything is within limits."""
    calm, attacked = [], []
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), tls=tls) as (target, pid):
        measure(target, pid, "identity")  # the server then holds its 10 MB, which is no harm that an attack does
        files = open_files(pid)
        for _ in range(ROUNDS):
            calm.append(measure(target, pid))
            attacker = multiprocessing.Process(target=attack, args=(target,), daemon=True)
            attacker.start()
            time.sleep(0.3)
            attacked.append(measure(target, pid))
            attacker.kill()
            attacker.join()
        time.sleep(1)
        files = open_files(pid) - files
    calm_p99, p99 = (median(r.p99 for r in rounds) for rounds in (calm, attacked))
    growth = max(r.memory for r in attacked) - calm[0].memory
    threads = max(r.threads for r in attacked)
    within = p99 <= RATIO * calm_p99 and growth <= GROWTH and threads <= THREADS and files <= 0
    name = attack.__name__.replace("_", " ") + (" over TLS" if tls and "tls" not in attack.__name__ else "")
    p50 = median(r.p50 for r in attacked)
    return [name, p50, calm_p99, p99, p99 / calm_p99, growth, threads, files, "yes" if within else "**no**"], within


def main() -> int:
    """Run every attack and print the table."""
    lines = []
    for attack, tls in ATTACKS:
        line, within = torture(attack, tls=tls)
        lines.append((line, within))
        click.echo(f"{line[0]}: {'within' if within else 'over'} the limits", err=True)
    headers = [
        "attack",
        "p50 ms",
        "calm p99 ms",
        "p99 ms",
        "ratio",
        "MB more",
        "threads",
        "files left",
        "within limits",
    ]
    click.echo(tabulate([line for line, _ in lines], headers, "github", floatfmt=".1f"))
    return 0 if all(within for _, within in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
