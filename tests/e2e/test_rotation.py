from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import Exporter, brand_section, configuration

from exporter.simulator import Simulator

BRAND = "openapitest"


@pytest.mark.slow
def test_a_secret_file_that_was_rotated_is_read_again_without_a_reload(simulator: Simulator, tmp_path: Path) -> None:
    section = brand_section(simulator, BRAND)
    right = section.pop("client_secret")
    secret = tmp_path / "secret"
    secret.write_text("of-yesterday-and-refused")
    section["client_secret_file"] = str(secret)
    with Exporter(tmp_path / "exporter", configuration(simulator, brands=[section])) as exporter:
        exporter.until_event("brand.login_failed")
        secret.write_text(right)
        exporter.until_event("brand.login_recovered", seconds=60)
        exporter.until_value(1, "clopos_venue_up", venue_id="1")
        assert right not in exporter.log


class Mount:
    """A mounted ConfigMap or Secret: files are links into `..data`, a link that the kubelet moves to a new folder."""

    def __init__(self, folder: Path, **files: str) -> None:
        self._folder, self._number = folder, 0
        folder.mkdir()
        self.update(**files)
        for name in files:
            folder.joinpath(name).symlink_to(f"..data/{name}")

    def update(self, **files: str) -> None:
        """Replace all files at once."""
        self._number += 1
        content = self._folder / f"..{self._number}"
        content.mkdir()
        for name, text in files.items():
            content.joinpath(name).write_text(text)
        link = self._folder / "..data_tmp"
        link.symlink_to(content.name)
        link.replace(self._folder / "..data")


@pytest.mark.slow
def test_changed_secrets_and_configuration_are_in_force_without_a_restart(simulator: Simulator, tmp_path: Path) -> None:
    simulator.world.add_brand("tandir-group")
    simulator.world.add_venue("tandir-group", "Qala")
    sections = [brand_section(simulator, brand) for brand in simulator.world.brands]
    right = [section.pop("client_secret") for section in sections]
    for number, section in enumerate(sections):
        section["client_secret_file"] = str(tmp_path / "secrets" / f"client_secret_{number}")

    def text(*brands: Mapping[str, Any]) -> str:
        return yaml.safe_dump(configuration(simulator, brands=list(brands)))

    config = Mount(tmp_path / "config", clopos=text(sections[0]))
    secrets = Mount(tmp_path / "secrets", client_secret_0=right[0], client_secret_1="of-yesterday-and-refused")
    flags = [f"--config.file={tmp_path}/config/clopos", "--config.auto-reload-interval=1s"]
    with Exporter(tmp_path / "exporter", flags=flags) as exporter:
        exporter.until_ready()
        config.update(clopos=text(*sections))
        exporter.until_event("config.reloaded")
        exporter.until_event("brand.login_failed", brand="tandir-group")
        secrets.update(client_secret_0=right[0], client_secret_1=right[1])
        exporter.until_event("config.reloaded", times=2)
        exporter.until_value(1, "clopos_venue_up", brand="tandir-group")
        config.update(clopos="brands: nonsense")
        exporter.until_event("config.refused")
        exporter.until_value(0, "clopos_exporter_config_last_reload_successful")
        config.update(clopos=text(sections[0]))
        exporter.until_value(1, "clopos_exporter_config_last_reload_successful")
        exporter.until_value(None, "clopos_venue_up", brand="tandir-group", venue_id="1")
        assert len(simulator.traffic.entries(endpoint="auth", brand=sections[0]["brand"])) == 1, "it kept its token"
