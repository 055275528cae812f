"""Watch Clopos stations for Prometheus: gauges for what is on, events for what was switched off."""

__version__ = "0.1.0"
