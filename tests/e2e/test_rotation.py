from __future__ import annotations

from pathlib import Path

import pytest
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
