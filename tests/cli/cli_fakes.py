"""The command as a user calls it, without a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from exporter.cli import main
from exporter.simulator import Simulator


def run(*arguments: str, env: Mapping[str, str | None] | None = None) -> Result:
    """Run `clopos-exporter` with these arguments; whatever is wrong, there is no trace."""
    result = CliRunner().invoke(main, arguments, env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def write(folder: Path, simulator: Simulator, brands: Iterable[str] = (), **rest: Any) -> str:
    """Write a configuration file for brands of a simulator, all by default; `rest` goes to each. Give its path."""
    common = {"base_url": simulator.url, "requests_per_minute": 300, **rest}
    configured = [{**simulator.credentials(brand), **common} for brand in brands or simulator.world.brands]
    path = folder / "clopos.yml"
    path.write_text(yaml.safe_dump({"brands": configured}))
    path.chmod(0o600)
    return str(path)
