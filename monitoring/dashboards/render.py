"""The dashboards as Grafana's JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards import brand, exporter, kitchen, venue

ROOT = Path(__file__).parents[2]
FOLDER = "helm/clopos-exporter/files/dashboards"
BUILDERS: Mapping[str, Callable[[], Dashboard]] = {
    "clopos-kitchen": kitchen.build,
    "clopos-venue": venue.build,
    "clopos-exporter": exporter.build,
    "clopos-brand": brand.build,
}


def render(uid: str) -> str:
    """Render a dashboard."""
    built = BUILDERS[uid]().build()
    return json.dumps(built, cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
