"""The dashboards as Grafana's JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards import brand, exporter, kitchen, venue

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "helm/clopos-exporter/files/dashboards"
"""The chart can only read what is in it; everybody else reads it there."""

BUILDERS: Mapping[str, Callable[[], Dashboard]] = {
    "clopos-kitchen": kitchen.build,
    "clopos-venue": venue.build,
    "clopos-exporter": exporter.build,
    "clopos-brand": brand.build,
}


def render(uid: str) -> str:
    """Render a dashboard."""
    built = json.loads(json.dumps(BUILDERS[uid]().build(), cls=JSONEncoder))
    # The SDK hides every link and switch in a menu, and knows no other place.
    for control in (*built["links"], *built["annotations"].get("list", ())):
        control.pop("placement", None)
    return json.dumps(built, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
