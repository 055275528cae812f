"""What goes around the exporter: alert rules and dashboards, each with one source in Python and its files generated."""
