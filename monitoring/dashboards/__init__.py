"""The dashboards, generated; `python -m monitoring.dashboards` writes their JSON."""

import warnings

# The SDK would rather have its second schema, which only the newest Grafana reads; the classic one is read by all.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import dashboard, stat  # noqa: F401
