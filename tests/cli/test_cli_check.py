from __future__ import annotations

import errno
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cli_fakes import run, write

from exporter.simulator import Simulator
from exporter.store import database


def test_a_good_configuration_ends_with_every_venue_read(config: str) -> None:
    result = run("check", "--config.file", config)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "configuration  ok: 2 brands"
    assert lines[1] == "openapitest  login ok, 2 venues"
    assert lines[2].startswith("openapitest  venue 1 '")
    assert lines[2].endswith("  ok: 2 stations")
    assert len(lines) == 7


def test_offline_reads_the_files_alone(config: str, simulator: Simulator) -> None:
    assert run("check", "--offline", "--config.file", config).output == "configuration  ok: 2 brands\n"
    assert not simulator.traffic.entries()


def test_one_brand_needs_no_file(simulator: Simulator) -> None:
    credentials = {f"CLOPOS_{key.upper()}": value for key, value in simulator.credentials("openapitest").items()}
    result = run("check", env={**credentials, "CLOPOS_BASE_URL": simulator.url})
    assert result.exit_code == 0
    assert "openapitest  login ok, 2 venues" in result.output


def test_every_brand_is_tried_though_the_first_fails_and_the_failure_says_what_to_do(
    config: str, simulator: Simulator
) -> None:
    with simulator.faults.during("wrong_credentials", brand="openapitest"):
        result = run("check", "--config.file", config)
    assert result.exit_code == 1
    assert "openapitest  failed: Invalid credentials (HTTP 401)\n    Check client_id, client_secret" in result.output
    assert "tandir-group  login ok, 2 venues" in result.output


def test_a_venue_that_cannot_be_read_is_named(config: str, simulator: Simulator) -> None:
    with simulator.faults.during("forbidden", venue="2", brand="openapitest"):
        result = run("check", "--config.file", config)
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if "failed" in line]
    assert line.startswith("openapitest  venue 2 ")
    assert "This action is unauthorized (HTTP 403)" in line


def test_rows_without_an_id_are_counted(config: str, simulator: Simulator) -> None:
    simulator.world.serve_raw("openapitest", "1", "1", '{"name":"No id"}')
    result = run("check", "--config.file", config)
    assert result.exit_code == 0
    assert "ok: 1 station, 1 row without a usable id" in result.output


def test_a_server_that_is_not_there_is_said_to_be_so(tmp_path: Path, simulator: Simulator) -> None:
    config = write(tmp_path, simulator, brands=["openapitest"])
    simulator.stop()
    result = run("check", "--config.file", config)
    assert result.exit_code == 1
    assert f"openapitest  failed: {urlsplit(simulator.url).netloc} cannot be reached: Connection" in result.output
    assert "\n    Check base_url" in result.output


def test_what_a_hostile_server_says_does_not_steer_the_terminal(config: str, simulator: Simulator) -> None:
    body = '{"success":false,"message":"\\u001b[31mred\\u202e"}'
    with simulator.faults.during("status", code=403, body=body, endpoint="stations"):
        result = run("check", "--config.file", config)
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output
    assert r"\x1b[31mred\u202e" in result.output


def test_faults_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "clopos.yml").write_text("brands:\n  - brand: tandir-group\n    secret: x\n")
    (tmp_path / "web.yml").write_text("tls_server_config: {cert: x}\n")
    result = run("check", "--config.file", str(tmp_path / "clopos.yml"), "--web.config.file", str(tmp_path / "web.yml"))
    assert result.exit_code == 1
    assert "clopos.yml:3: brands[0].secret" in result.output
    assert "web.yml:1: tls_server_config.key_file" in result.output


@pytest.mark.parametrize("name", ["nowhere.yml", ""])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    result = run("check", "--config.file", str(tmp_path / name))
    assert result.exit_code == 1
    assert result.output.startswith(f"error: {tmp_path / name}: ")


def test_no_secret_is_printed_whatever_fails(simulator: Simulator, tmp_path: Path) -> None:
    path = write(tmp_path, simulator, client_secret="marked-s3cret")
    body = '{"success":false,"message":"wrong: marked-s3cret"}'
    with simulator.faults.during("status", code=401, body=body):
        result = run("check", "--config.file", path)
    assert result.exit_code == 1
    assert "marked-s3cret" not in result.output


def test_a_venue_list_that_is_refused_is_a_failure(config: str, simulator: Simulator) -> None:
    with simulator.faults.during("forbidden", endpoint="venues", brand="openapitest"):
        result = run("check", "--config.file", config)
    assert result.exit_code == 1
    assert "openapitest  failed: the list of venues is refused" in result.output
    assert "venues: default" in result.output


def test_what_matches_nothing_is_a_warning(tmp_path: Path, simulator: Simulator) -> None:
    overrides = {"1": {"ignore_stations": ["Nobody"]}, "99": {"ignore_stations": ["Test"]}}
    path = write(tmp_path, simulator, ["openapitest"], ignore_stations=["1", "Tset"], venue_overrides=overrides)
    result = run("check", "--config.file", path)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "warning: openapitest: venue_overrides.1.ignore_stations: no station 'Nobody' in this venue",
        "warning: openapitest: venue_overrides.99: the brand has no such venue",
        "warning: openapitest: ignore_stations: no station 'Tset' in any venue",
    ]


def test_a_stale_after_below_two_intervals_in_force_is_a_warning(tmp_path: Path, simulator: Simulator) -> None:
    path = write(tmp_path, simulator, ["openapitest"], requests_per_minute=1)
    result = run("check", "--config.file", path, env={"CLOPOS_STALE_AFTER": "3m"})
    assert result.exit_code == 0
    assert result.stderr == (
        "warning: openapitest: stale_after, 3m, is less than two intervals in force, which are 2m with 2 venues: "
        "two intervals are used instead\n"
    )


@pytest.mark.parametrize("path", ["nowhere/state.db", "."])
def test_a_state_that_cannot_be_written_is_a_fault(config: str, tmp_path: Path, path: str) -> None:
    result = run("check", "--offline", "--config.file", config, env={"CLOPOS_STATE_PATH": str(tmp_path / path)})
    assert result.exit_code == 1
    assert result.output.startswith("error: state.path: ")


def test_a_state_in_a_file_that_is_taken_for_a_folder_is_a_fault_that_says_so(config: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "state.db")
    result = run("check", "--offline", "--config.file", config, env={"CLOPOS_STATE_PATH": path})
    assert (result.exit_code, result.output) == (
        1,
        f"error: state.path: the folder {tmp_path / 'file'} does not exist for this user: create it\n",
    )


def test_a_state_in_a_folder_that_is_closed_to_this_user_is_a_fault(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stand in for the system, which closes nothing to root."""
    folder, stat = tmp_path / "closed", Path.stat
    folder.mkdir()

    def closed(path: Path, **rest: bool) -> os.stat_result:
        if path.parent == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **rest)

    monkeypatch.setattr(Path, "stat", closed)
    monkeypatch.setattr("exporter.cli.check.os.access", lambda path, mode: path != folder or mode == os.F_OK)
    path = str(folder / "state.db")
    result = run("check", "--offline", "--config.file", config, env={"CLOPOS_STATE_PATH": path})
    assert result.exit_code == 1
    assert result.output == f"error: state.path: {folder} is not writable: change its owner or mode\n"


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("u:p", 'connection to server at "127.0.0.1", port 1 failed: Connection refused'),
        ("u:p%zz", "invalid percent-encoded token"),
        ("u:x@s3cret", "failed to resolve host"),
    ],
)
def test_a_database_that_cannot_be_reached_is_a_fault_without_its_password(config: str, user: str, reason: str) -> None:
    variables = {"CLOPOS_STATE_URL": f"postgresql://{user}@127.0.0.1:1/x"}
    result = run("check", "--config.file", config, env=variables)
    assert result.exit_code == 1
    assert result.output.startswith("error: state.url: ")
    assert reason in result.output
    assert "check that PostgreSQL runs there" in result.output
    assert not any(secret in result.output for secret in ("u:p", "p%zz", "s3cret"))
    assert run("check", "--offline", "--config.file", config, env=variables).exit_code == 0


def test_a_database_without_its_driver_is_a_fault_of_its_own(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "psycopg", None)
    result = run("check", "--config.file", config, env={"CLOPOS_STATE_URL": "postgresql://u:p@127.0.0.1:1/x"})
    assert result.exit_code == 1
    assert result.output == ("error: state.url: psycopg is not installed: pip install 'clopos-exporter[postgresql]'\n")
