"""The image, built from the Dockerfile and run for real, with nothing writable and no capability."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
import yaml
from containers import BASE, BUILD_ARGUMENTS, ROOT, Engine
from scraping import environment, scrape

import exporter
from exporter.simulator import Simulator

COMPOSE = ROOT / "docker-compose.yml"
ENTER = ("--entrypoint", "python")
in_containers = [pytest.mark.slow, pytest.mark.xdist_group("image")]


def test_hadolint_finds_nothing(program: Callable[..., str]) -> None:
    done = subprocess.run([program("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


class TestContainer:
    pytestmark = in_containers

    def test_it_polls_is_scraped_is_healthy_and_stops_cleanly(
        self, engine: Engine, image: str, simulator: Simulator, port: int
    ) -> None:
        with engine.run(image, environment=environment(simulator, port)) as container:
            text = scrape(port, 'venue="28 May",venue_id="2"} 1.0')
            assert text.count("\nclopos_station_active{") == 8
            assert f'version="{exporter.__version__}"' in text
            assert 'revision="abc1234"' in text
            assert container.healthy()
            seconds, code = container.stop()
            assert code == 0, container.logs()
            assert seconds < 5
            lines = [json.loads(line) for line in container.logs().splitlines()]
            assert lines[-1]["event"] == "exporter.stopped"

    def test_its_demo_is_reached_from_outside_of_it(
        self, engine: Engine, image: str, program: Callable[..., str], absent: Callable[[str], NoReturn]
    ) -> None:
        """Run it in a network namespace of its own, as `docker compose up` and `podman run --publish` do."""
        for needed in ("ip", "nsenter"):
            program(needed)
        (command,) = [yaml.safe_load(COMPOSE.read_text())["services"]["exporter"]["command"]]
        with engine.run(image, *command, network="none") as container, ExitStack() as stack:
            try:
                host = stack.enter_context(container.connected())
            except subprocess.CalledProcessError as error:
                absent(f"the right to make a network interface: {error}")
            scrape(10110, "\nclopos_station_active{", host=host, seconds=60)
            assert container.healthy()

    def test_it_is_unhealthy_when_nothing_listens(self, engine: Engine, image: str, port: int) -> None:
        where = {"CLOPOS_EXPORTER_WEB_LISTEN_ADDRESS": f"127.0.0.1:{port}"}
        with engine.run(image, "-c", "import time; time.sleep(60)", environment=where, options=ENTER) as container:
            assert not container.healthy()

    def test_without_configuration_it_says_what_is_missing(self, engine: Engine, image: str) -> None:
        with engine.run(image) as container:
            assert container.wait() != 0
            said = container.logs()
            assert "CLOPOS_BRAND" in said
            assert "Traceback" not in said

    def test_it_keeps_its_state_in_a_volume(
        self, engine: Engine, image: str, simulator: Simulator, port: int, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o755)
        state = tmp_path / "state"
        state.mkdir(mode=0o777)
        state.chmod(0o777)
        options = ["--volume", f"{state}:/var/lib/clopos-exporter"]
        variables = {**environment(simulator, port), "CLOPOS_STATE_PATH": "/var/lib/clopos-exporter/state.db"}
        with engine.run(image, environment=variables, options=options) as container:
            scrape(port, "clopos_exporter_store_up 1.0")
            container.stop()
        assert state.joinpath("state.db").stat().st_uid == 65532

    def test_nothing_in_it_installs_compiles_or_is_writable(self, engine: Engine, image: str) -> None:
        with engine.run(image, "-c", "import time; time.sleep(60)", options=ENTER) as container:
            assert container.execute("id", "--user").stdout.strip() == "65532"
            for command in ("pip", "gcc", "cc", "make"):
                assert container.execute("sh", "-c", f"command -v {command}").stdout == ""
            for module in ("pip", "ensurepip"):
                assert container.execute("python", "-c", f"import {module}").returncode == 1
            open_to_others = ["!", "-user", "root", "-o", "-perm", "/022", "!", "-type", "l"]
            assert container.execute("find", "/opt/clopos-exporter", *open_to_others).stdout == ""
            caches = container.execute("find", "/root/.cache", "/var/lib/apt/lists", "-type", "f")
            assert caches.stdout == ""
            assert container.execute("python", "-c", "import zoneinfo; zoneinfo.ZoneInfo('Asia/Baku')").returncode == 0

    def test_its_labels_user_and_commands_are_what_the_field_expects(self, engine: Engine, image: str) -> None:
        config = engine.inspect(image)["Config"]
        labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
        assert labels["version"] == exporter.__version__
        assert labels["revision"] == "abc1234"
        assert labels["licenses"] == "Apache-2.0"
        assert config["User"] == "65532:65532"
        assert config["Entrypoint"] == ["clopos-exporter"]
        assert config["Cmd"] == ["serve"]
        assert config["StopSignal"] == "SIGTERM"
        assert list(config["ExposedPorts"]) == ["10110/tcp"]
        assert engine.inspect(image)["Healthcheck"]["Test"] == ["CMD", "clopos-exporter", "healthcheck"]

    def test_it_adds_less_than_120_megabytes_to_its_base(self, engine: Engine, image: str) -> None:
        # Nearly half is what notifications (Apprise, Babel) and PostgreSQL (psycopg) need: no extra image for them.
        assert engine.inspect(image)["Size"] - engine.inspect(BASE)["Size"] < 120_000_000

    def test_the_same_input_gives_the_same_digest(
        self, engine: Engine, image: str, context: Path, tmp_path: Path
    ) -> None:
        again = f"{image}-again"
        engine.build(again, context, *BUILD_ARGUMENTS, "--no-cache")
        for name in ("first", "second"):
            tmp_path.joinpath(name).mkdir()
        first = engine.digest(image, tmp_path / "first")
        second = engine.digest(again, tmp_path / "second")
        engine.podman("rmi", "--force", again)
        assert first == second
