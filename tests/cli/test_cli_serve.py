from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from cli_fakes import run, write

from exporter import log
from exporter.cli import options
from exporter.cli import serve as serve_command
from exporter.cli.demo import _free_address
from exporter.cli.options import LISTEN_ADDRESS
from exporter.config import Settings
from exporter.simulator import Simulator
from exporter.web.addresses import Address


def test_what_is_wrong_with_files_and_flags_is_reported_at_once_and_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "clopos.yml").write_text("brand: tandir-group\n")
    (tmp_path / "web.yml").write_text("tls_server_config: {}\nunknown: 1\n")
    result = run(
        "serve",
        f"--config.file={tmp_path / 'clopos.yml'}",
        f"--web.config.file={tmp_path / 'web.yml'}",
        "--web.listen-address=nowhere",
    )
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    for place in ("clopos.yml:1: brand:", "web.yml:2: unknown:", "error: --web.listen-address:"):
        assert sum(place in line for line in lines) == 1, place


@pytest.mark.parametrize(
    "flags",
    [["--shard", "-1"], ["--total-shards", "0"], ["--log.level", "loud"], ["--log.format", "xml"]],
)
def test_a_flag_out_of_its_range_is_refused(flags: list[str]) -> None:
    result = run("serve", *flags)
    assert result.exit_code == 2
    assert flags[0] in result.output


@pytest.mark.parametrize("level", ["warn", "warning"])
def test_the_level_of_the_log_is_also_written_as_the_log_writes_it(
    config: str, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    known = logging.getLevelNamesMapping()
    levels: list[int] = []
    monkeypatch.setattr(log, "configure", lambda level, _format: levels.append(known[level.upper()]))
    monkeypatch.setattr(serve_command, "prepare", lambda *_, **_rest: sys.exit())
    result = run("serve", "--config.file", config, "--log.level", level)
    assert result.exit_code == 0, result.output
    assert levels == [logging.WARNING]


def test_a_shard_beyond_the_number_of_shards_is_a_fault(config: str) -> None:
    result = run("serve", "--config.file", config, "--shard", "4", "--total-shards", "4")
    assert result.exit_code == 1
    assert "--shard" in result.output


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `serve` in a process of its own, for it takes the log of the whole process over."""
    command = [sys.executable, "-m", "exporter", "serve", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("CLOPOS_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env)


def test_the_configuration_is_read_once_at_the_start(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, begun = [], []

    def settings(*arguments: Any, **rest: Any) -> Settings:
        read.append(options.settings(*arguments, **rest))
        return read[-1]

    def prepare(load: Callable[[], Settings], *_: object, **_rest: object) -> NoReturn:
        begun.extend([load(), len(read), load()])
        sys.exit()

    monkeypatch.setattr(serve_command, "options", SimpleNamespace(**{**vars(options), "settings": settings}))
    monkeypatch.setattr(log, "configure", lambda *_: None)
    monkeypatch.setattr(serve_command, "prepare", prepare)
    result = run("serve", "--config.file", config)
    assert result.exit_code == 0, result.output
    assert begun == [read[0], 1, read[1]]


def test_a_warning_of_the_configuration_is_logged_once_at_the_start(tmp_path: Path, config: str) -> None:
    doubtful = tmp_path / "doubtful.yml"
    doubtful.write_text(f"stale_after: 31s\n{Path(config).read_text()}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        result = serve("--config.file", str(doubtful), "--web.listen-address", address)
    assert [json.loads(line)["event"] for line in result.stdout.splitlines() if "stale_after" in line] == [
        "config.warning"
    ]


def test_a_port_that_is_taken_is_said_to_be_with_what_to_do(config: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        result = serve("--config.file", config, "--web.listen-address", address)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: cannot listen on {address}: the port is taken")
    assert "Traceback" not in result.stderr


def test_a_telemetry_path_that_is_none_is_a_fault(tmp_path: Path, simulator: Simulator) -> None:
    result = serve(
        "--config.file", write(tmp_path, simulator), "--web.listen-address=127.0.0.1:0", "--web.telemetry-path=metrics"
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: --web.telemetry-path: ")


def test_the_demo_takes_any_free_port_where_the_usual_one_is_taken() -> None:
    usual = int(LISTEN_ADDRESS.removeprefix(":"))
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", usual))
            taken.listen()
        except OSError:
            pass  # Somebody else has it, which is as good.
        assert _free_address() == Address("127.0.0.1", 0)


def test_names_and_paths_that_are_none_are_faults_of_their_flags(config: str) -> None:
    result = run("serve", "--config.file", config, "--web.allowed-host", "a.example:80", "--web.route-prefix", "/a?b")
    assert result.exit_code == 1
    assert "error: --web.allowed-host: 'a.example:80'" in result.output
    assert "error: --web.route-prefix: " in result.output


PR_GET_DUMPABLE = 3
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")


@LINUX
def test_no_other_process_may_read_the_daemons_memory_and_no_child_its_secrets() -> None:
    """Look where the daemon would begin to run."""
    code = f"""
import ctypes, subprocess, sys
from exporter.cli import main, serve
def dumpable():
    return ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}, 0, 0, 0, 0)
def prepare(load, *_, **__):
    print(dumpable(), load().brands[0].token.get_secret_value(), subprocess.check_output(["env"], text=True))
    sys.exit()
print(dumpable())
serve.prepare = prepare
main(["serve"])
"""
    environ = {"CLOPOS_TOKEN": "fake-token", "CLOPOS_BRAND": "tandir-group", "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.startswith("1\n0 fake-token ")
    assert "CLOPOS_BRAND=" in done.stdout
    assert "CLOPOS_TOKEN=" not in done.stdout


def test_the_help_of_the_demo_names_the_address_that_it_really_listens_on() -> None:
    output = " ".join(run("demo", "--help").output.split())
    assert "[default: 127.0.0.1:10110, or a free port if that one is taken]" in output
