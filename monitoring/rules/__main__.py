"""Write the generated files: `python -m monitoring.rules` (`make rules`)."""

from __future__ import annotations

from monitoring.rules.render import FILES, ROOT

for path, text in FILES.items():
    target = ROOT / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text(), encoding="utf-8")
