"""The files under deploy/ and the composition are what their programs take."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests
import yaml
from click.testing import CliRunner
from containers import ROOT
from scraping import scrape

from exporter.cli import main
from exporter.config.environment import BRAND, CHANNEL, SETTINGS

Program = Callable[..., str]

UNIT = ROOT / "deploy" / "systemd" / "clopos-exporter.service"
COMPOSE = ROOT / "docker-compose.yml"


def test_systemd_rates_the_exposure_as_the_documentation_says(program: Program) -> None:
    done = subprocess.run(
        [program("systemd-analyze"), "security", "--offline=true", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    exposure = re.search(r"Overall exposure level for clopos-exporter.service: ([\d.]+)", done.stdout)
    assert exposure, done.stderr
    assert f"exposure of {exposure[1]}" in ROOT.joinpath("docs", "install.md").read_text()
    assert float(exposure[1]) < 1.5


def test_systemd_writes_no_core_dump() -> None:
    assert "\nLimitCORE=0\n" in UNIT.read_text()


PR_SET_MDWE = 65
NO_SUCH_CONTROL = 77
FORBIDDEN = f"""
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).prctl({PR_SET_MDWE}, 1, 0, 0, 0):
    sys.exit({NO_SUCH_CONTROL})
os.execv(sys.executable, [sys.executable, "-m", "exporter", *sys.argv[1:]])
"""


@pytest.mark.slow
def test_it_works_where_no_memory_may_be_writable_and_executable(port: int, absent: Callable[[str], NoReturn]) -> None:
    """Hold what MemoryDenyWriteExecute= asks, by the kernel's own means for it."""
    command = [sys.executable, "-c", FORBIDDEN]
    if subprocess.run([*command, "--version"], capture_output=True, check=False).returncode == NO_SUCH_CONTROL:
        absent("a kernel that forbids it (Linux 6.3)")
    demo = [*command, "demo", f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(demo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            scrape(port, "\nclopos_station_active{")
        finally:
            process.terminate()
        assert process.wait(10) == 0


def test_the_example_environment_holds_only_what_the_exporter_reads() -> None:
    text = UNIT.with_name("clopos-exporter.default").read_text()
    names = {match[1] for match in re.finditer(r"^#?([A-Z_]+)=", text, re.MULTILINE)}
    assert names - {"ARGS", "HTTPS_PROXY"} <= SETTINGS.keys() | BRAND.keys() | CHANNEL.keys()
    (arguments,) = re.findall(r"^ARGS=(.*)$", text, re.MULTILINE)
    done = CliRunner().invoke(main, ["serve", *shlex.split(arguments)[0].split(), "--help"])
    assert done.exit_code == 0, done.output


class TestComposition:
    @pytest.fixture
    def services(self) -> dict[str, Any]:
        services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
        return services

    def test_everything_it_mounts_is_there(self, services: dict[str, Any]) -> None:
        for service in services.values():
            for volume in service.get("volumes", ()):
                source, _, mode = volume.partition(":")
                assert ROOT.joinpath(source).exists(), source
                assert mode.endswith(":ro")

    def test_nothing_of_it_is_open_to_the_network(self, services: dict[str, Any]) -> None:
        ports = [port for service in services.values() for port in service.get("ports", ())]
        assert ports
        assert all(port.startswith("127.0.0.1:") for port in ports)

    def test_every_channel_of_alertmanager_leads_to_the_messages(self, services: dict[str, Any]) -> None:
        mounts = dict(volume.split(":")[1::-1] for volume in services["alertmanager"]["volumes"])
        text = ROOT.joinpath("monitoring", "alertmanager", "alertmanager.yml").read_text()
        files = set(re.findall(r"api_url_file: (\S+)", text))
        assert files
        (port,) = [command.rpartition(":")[2] for command in services["messages"]["command"]]
        for file in files:
            url = ROOT.joinpath(mounts[f"/etc/alertmanager/{file}"]).read_text()
            assert url == f"http://messages:{port}/\n"

    def test_a_message_of_alertmanager_is_printed(self) -> None:
        command = [sys.executable, str(ROOT / "deploy" / "compose" / "messages.py"), "127.0.0.1:0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            text = "New orders are not sent to it.\nRunbook: https://example.com"
            message = {"channel": "#shift", "attachments": [{"title": "Kitchen station Grill", "text": text}]}
            assert requests.post(url, json=message, timeout=10).ok
            printed = [process.stdout.readline() for _ in range(3)]
            process.terminate()
        assert printed == [
            "#shift Kitchen station Grill\n",
            "  New orders are not sent to it.\n",
            "  Runbook: https://example.com\n",
        ]

    @pytest.mark.parametrize("promtool", ["promtool", "promtool3"])
    def test_prometheus_takes_its_configuration(self, program: Program, tmp_path: Path, promtool: str) -> None:
        for path in (ROOT / "deploy/compose/prometheus.yml", ROOT / "helm/clopos-exporter/files/rules.yaml"):
            tmp_path.joinpath(path.name).write_text(path.read_text())
        file = tmp_path / "prometheus.yml"
        done = subprocess.run([program(promtool), "check", "config", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_alertmanager_takes_its_configuration(self, program: Program) -> None:
        file = ROOT / "monitoring" / "alertmanager" / "alertmanager.yml"
        done = subprocess.run([program("amtool"), "check-config", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_grafana_starts_with_a_dashboard_that_is_mounted(self, services: dict[str, Any]) -> None:
        grafana = services["grafana"]
        home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
        folders = {target: source for source, target, _ in (volume.split(":") for volume in grafana["volumes"])}
        assert json.loads(ROOT.joinpath(folders[str(home.parent)], home.name).read_text())["uid"]
        provider = yaml.safe_load(ROOT.joinpath("deploy/compose/grafana/dashboards.yml").read_text())
        assert provider["providers"][0]["options"]["path"] == str(home.parent)

    def test_the_exporter_runs_with_nothing_it_does_not_need(self, services: dict[str, Any]) -> None:
        exporter = services["exporter"]
        assert exporter["read_only"] is True
        assert exporter["cap_drop"] == ["ALL"]
        assert exporter["command"][0] == "demo"
