"""Write the generated files: `python -m monitoring.dashboards` (`make dashboards`)."""

from __future__ import annotations

from monitoring.dashboards.render import BUILDERS, FOLDERS, ROOT, render

for folder in FOLDERS:
    for uid in BUILDERS:
        target = ROOT / folder / f"{uid}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render(uid), encoding="utf-8")
