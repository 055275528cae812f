"""The dashboards, generated; `python -m monitoring.dashboards` writes their JSON."""
