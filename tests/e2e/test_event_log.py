"""The log decides nothing of what is shown, whatever its reader does, and loses nothing."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import pytest
from harness import ENVIRONMENT, Exporter, Start, configuration

from exporter.simulator import Simulator

BRAND = "openapitest"
F_SETPIPE_SZ = 1031


class Piped(Exporter):
    """An exporter whose log goes through a small pipe to a reader that can pause; what was read is in the log file."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        config = configuration(simulator, state={"path": "state.db"}, discovery_interval="1m")
        super().__init__(folder, config, env={"PYTHONUNBUFFERED": "1"})
        self.reading = Event()
        self.reading.set()

    def launch(self) -> None:
        self.log_file.touch()
        reading, writing = os.pipe()
        fcntl.fcntl(writing, F_SETPIPE_SZ, 4096)
        with self.error_file.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *self.PROGRAM, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=errors,
                env=self._env,
                cwd=self.folder,
            )
        os.close(writing)
        Thread(target=self._copy, args=(reading,), daemon=True).start()

    def _copy(self, reading: int) -> None:
        with self.log_file.open("ab") as log:
            while self.reading.wait() and (data := os.read(reading, 4096)):
                log.write(data)
                log.flush()
        os.close(reading)


def flip(simulator: Simulator, exporter: Exporter, times: int) -> None:
    """Switch a station off and on, each time until the exporter shows it."""
    for number in range(times):
        simulator.world.set_status(BRAND, "1", "1", number % 2)
        exporter.until_value(number % 2, "clopos_station_active", venue_id="1", station_id="1")


@pytest.mark.slow
def test_a_blocked_log_freezes_nothing_ends_in_time_and_loses_no_event(simulator: Simulator, tmp_path: Path) -> None:
    exporter = Piped(tmp_path / "exporter", simulator)
    exporter.start()
    exporter.until_ready()
    exporter.reading.clear()
    flip(simulator, exporter, 14)
    assert exporter.metrics().value("clopos_venue_up", venue_id="1") == 1
    assert exporter.get("/-/healthy").status == 200
    assert exporter.get("/-/ready").status == 200
    assert exporter.reload().status == 200
    exporter.until_value(0, "clopos_exporter_log_up")
    changes = exporter.get("/api/v1/changes").text
    assert changes.count('"station.deactivated"') == 7
    began = time.monotonic()
    exporter.send(signal.SIGTERM)
    assert exporter.wait(5.0) == 0
    assert time.monotonic() - began < 5
    exporter.reading.set()
    with exporter:
        names = ("station.deactivated", "station.activated")
        exporter.until(lambda: sum(len(exporter.events(name)) for name in names) >= 14, "every event")
        observed = [event["observed_at"] for event in exporter.events("station.")]
        assert len(set(observed)) == 14
        assert exporter.metrics().value("clopos_exporter_log_up") == 1


@pytest.mark.slow
def test_a_reader_that_is_gone_freezes_nothing(simulator: Simulator, tmp_path: Path) -> None:
    exporter = Exporter(tmp_path, configuration(simulator, state={"path": "state.db"}))
    reading, writing = os.pipe()
    exporter.start()
    exporter.until_ready()
    exporter.kill()
    port = exporter.url.rpartition(":")[2]
    command = [sys.executable, "-m", "exporter", "serve", f"--config.file={exporter.config_file}"]
    with subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=writing, cwd=tmp_path, env=ENVIRONMENT
    ) as process:
        os.close(writing)
        os.close(reading)
        exporter.until(lambda: listens(exporter), "an answer")
        flip(simulator, exporter, 3)
        exporter.until_value(0, "clopos_exporter_log_up")
        process.terminate()
        assert process.wait(5) == 0
    with exporter:
        exporter.until_event("station.deactivated", times=2)


def listens(exporter: Exporter) -> bool:
    try:
        return exporter.get("/-/healthy").status == 200
    except OSError:
        return False


@pytest.mark.slow
def test_without_standard_output_it_starts_all_the_same(tmp_path: Path, start: Start) -> None:
    exporter = start()
    exporter.until_ready()
    command = f'exec "{sys.executable}" -m exporter serve --config.file="{exporter.config_file}" '
    closed = subprocess.Popen(
        ["sh", "-c", command + "--web.listen-address=127.0.0.1:0 >&-"],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=ENVIRONMENT,
        text=True,
    )
    assert closed.stderr is not None
    # Standard error takes the log.
    while line := closed.stderr.readline():
        if "exporter.started" in line:
            break
    closed.terminate()
    _, errors = closed.communicate(timeout=8)
    assert closed.returncode == 0
    assert "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.parametrize(("number", "codes"), [("SIGTERM", {0}), ("SIGINT", {0, 130}), ("SIGHUP", {None})])
def test_a_signal_at_any_moment_of_the_start_leaves_no_trace(
    simulator: Simulator, tmp_path: Path, number: str, codes: set[int | None]
) -> None:
    exporter = Exporter(tmp_path, configuration(simulator))
    begin = "import sys; from exporter import __main__ as m; m.end_quietly(); print('begun', flush=True); m.main()"
    for delay in (0.0, 0.02, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5):
        process = subprocess.Popen(
            [sys.executable, "-c", begin, *exporter._arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=ENVIRONMENT,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(delay)
        process.send_signal(signal.Signals[number])
        if codes == {None}:
            time.sleep(0.2)
            assert process.poll() is None
            process.kill()
            process.communicate()
        else:
            output, errors = process.communicate(timeout=8)
            assert process.returncode in codes, (delay, errors, output)
            assert "Traceback" not in errors + output
