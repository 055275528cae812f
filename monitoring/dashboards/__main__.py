"""Write the generated files: `python -m monitoring.dashboards` (`make dashboards`)."""

from __future__ import annotations

from monitoring.dashboards.render import BUILDERS, FOLDER, render

for uid in BUILDERS:
    (FOLDER / f"{uid}.json").write_text(render(uid), encoding="utf-8")
