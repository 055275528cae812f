from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys

import pytest
import requests
from cli_fakes import run

from exporter.simulator.misbehaviour import CATALOGUE


def test_the_faults_are_explained() -> None:
    result = run("simulate", "--list-faults")
    assert result.exit_code == 0
    for kind in CATALOGUE:
        assert f"\n{kind} " in result.output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--fault", "nonsense"], "no fault 'nonsense'"),
        (["--fault", "latency,size=1"], "latency has no option size"),
        (["--scenario", "nonsense"], "--scenario"),
        (["--brands", "0"], "--brands"),
        (["--inactive", "2"], "--inactive"),
        (["--token-lifetime", "-1"], "--token-lifetime"),
    ],
)
def test_what_it_does_not_know_is_refused(arguments: list[str], named: str) -> None:
    result = run("simulate", *arguments)
    assert result.exit_code == 2
    assert named in result.output


def test_a_port_that_is_taken_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        result = run("simulate", "--listen-address", address)
    assert result.exit_code == 1
    assert result.output.startswith(f"error: cannot listen on {address}: the port is taken: ")


def test_it_prints_what_a_client_needs_and_ends_with_a_signal() -> None:
    command = [sys.executable, "-m", "exporter", "simulate", "--listen-address", "127.0.0.1:0", "--venues", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed: dict[str, str] = {}
        curl: list[str] = []
        for line in process.stdout:
            if line.startswith("# curl "):
                curl = shlex.split(line)[1:]
            name, _, value = line.strip().partition("=")
            printed[name] = value
            if name == "CLOPOS_INTEGRATOR_ID":
                break
        names = ("client_id", "client_secret", "brand", "integrator_id")
        body = {name: printed[f"CLOPOS_{name.upper()}"] for name in names}
        answer = requests.post(f"{printed['CLOPOS_BASE_URL']}/auth", json=body, timeout=10)
        assert answer.json()["success"]
        *options, url = curl
        assert options == ["curl", "-X", "PATCH", "-d", '{"status": 0}']
        assert requests.patch(url, data=options[-1], timeout=10).json()["status"] == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
