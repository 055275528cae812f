"""What every part measures with: alternating rounds, percentiles, a bare HTTP client, and a process' own figures."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path

Measure = Callable[[], float]

_TICKS = os.sysconf("SC_CLK_TCK")


def alternate(rounds: int, measures: Mapping[str, Measure]) -> dict[str, float]:
    """Return the median of each measure, taken in turn, so that whatever else the machine does hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
    return {name: statistics.median(values) for name, values in taken.items()}


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def timed(call: Callable[[], object]) -> float:
    """Return the seconds a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


class Getter:
    """Get one path over a kept-alive connection and read the answer to its end, at the least cost to the reader."""

    def __init__(self, port: int, path: str, **headers: str) -> None:
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(1 << 20))
        self.size = 0

    def __call__(self) -> float:
        """Get it once and return the seconds from the question to the last byte."""
        began = time.perf_counter()
        self._socket.sendall(self._request)
        head = b""
        while (end := head.find(b"\r\n\r\n")) < 0:
            head += self._socket.recv(65536)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head[:200].decode("latin-1"))
        lower = head[:end].lower()
        self.size = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        missing = self.size - (len(head) - end - 4)
        while missing:
            missing -= self._socket.recv_into(self._buffer, min(missing, len(self._buffer)))
        return time.perf_counter() - began


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process with all its threads, ended ones included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process, MB of 10^6 bytes."""
    return resident_of(Path(f"/proc/{pid}/status").read_text())


def resident_of(status: str, name: str = "VmRSS") -> float:
    """Return what a process' status says of its memory (`VmHWM`: the most it ever was), MB of 10^6 bytes."""
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def free_port() -> int:
    """Return a port that nobody listens on, for a program that cannot find one by itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def running(program: str, files: Mapping[str, str], *flags: str) -> Iterator[int]:
    """Run a program in a folder with these files, and yield the port of loopback that it listens on."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        port = free_port()
        process = subprocess.Popen(  # noqa: S603 - the program that was found
            [program, *flags, f"--web.listen-address=127.0.0.1:{port}"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until_listening(port)
            yield port
        finally:
            process.terminate()
            process.wait()


def until_listening(port: int, seconds: float = 10.0) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
