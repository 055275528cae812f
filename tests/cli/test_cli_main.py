from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_fakes import run

from exporter import __version__
from exporter.cli import COMMANDS


def test_without_a_command_it_explains_itself() -> None:
    result = run()
    assert "clopos-exporter demo" in result.output
    positions = [result.output.index(f"\n  {name} ") for name in COMMANDS]
    assert positions == sorted(positions)


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_worth_reading(command: str, flag: str) -> None:
    result = run(command, flag)
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    assert len(result.output.splitlines()) > 8
    assert all(len(line) <= 100 for line in result.output.splitlines())


def test_the_help_of_serve_names_the_flags_of_the_contract() -> None:
    output = run("serve", "--help").output
    for flag in (
        "--config.file",
        "--web.listen-address",
        "--web.telemetry-path",
        "--web.config.file",
        "--web.external-url",
        "--web.route-prefix",
        "--web.allowed-host",
        "--log.level",
        "--log.format",
        "--shard",
        "--total-shards",
    ):
        assert f"  {flag} " in output


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_flag_is_named(command: str) -> None:
    result = run(command, "--no-such-flag")
    assert result.exit_code == 2
    assert "--no-such-flag" in result.output


def test_an_unknown_command_is_named() -> None:
    result = run("observe")
    assert result.exit_code == 2
    assert "'observe'" in result.output


def test_the_version_is_reported() -> None:
    assert run("--version").output.startswith(f"clopos-exporter {__version__} (Python 3.")


def test_several_faults_are_reported_at_once_one_a_line() -> None:
    result = run("check", "--offline", env={"CLOPOS_BRAND": "tandir-group", "CLOPOS_BASE_URL": "nowhere"})
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert len(lines) > 2
    assert all(line.startswith("error: ") for line in lines)


def python(*arguments: str, **rest: object) -> subprocess.CompletedProcess[str]:
    """Run Python for real, where standard output has a mind of its own."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **rest)  # type: ignore[call-overload,no-any-return]


def test_a_reader_that_had_enough_is_no_failure_to_talk_about() -> None:
    shell = f"{sys.executable} -m exporter simulate --list-faults | head -n 1"
    result = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert result.stdout.startswith("KIND")
    assert result.stderr == ""


def test_letters_that_the_terminal_lacks_are_spelt_out() -> None:
    code = """
import click
from exporter.cli import Commands, main
Commands.get_command = lambda *_: click.Command("say", callback=lambda: click.echo("T\u0259ndir"))
main(["say"])
"""
    result = python("-c", code, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert (result.stdout, result.stderr) == ("T\\u0259ndir\n", "")


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("arguments", [["--help"], ["simulate", "--list-faults"]])
def test_output_that_cannot_be_written_is_an_error_without_a_trace(arguments: list[str]) -> None:
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "exporter", *arguments]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "error: the output cannot be written: No space left on device\n")


def test_a_file_that_the_system_refuses_is_named_in_place_of_the_output() -> None:
    code = """
import click
from exporter.cli import Commands, main
Commands.get_command = lambda *_: click.Command("look", callback=lambda: open("/" + "a" * 300))
main(["look"])
"""
    result = python("-c", code)
    assert (result.returncode, result.stderr) == (1, f"error: /{'a' * 300}: File name too long\n")


def test_the_version_loads_neither_the_settings_nor_the_daemon() -> None:
    code = """
import sys
from exporter.cli import main
try:
    main(["--version"])
finally:
    heavy = {"pydantic", "requests", "prometheus_client", "structlog", "apscheduler", "exporter.config", "exporter.app"}
    print(sorted(heavy & sys.modules.keys()))
"""
    assert python("-c", code).stdout.splitlines()[-1] == "[]"


def test_nothing_is_collected_while_the_modules_of_a_command_are_imported() -> None:
    script = """
import gc
from exporter.cli import main
collections = []
gc.callbacks.append(lambda phase, info: collections.append(info))
main.get_command(None, "serve")
print(len(collections), gc.isenabled())
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == ["0", "True"]
