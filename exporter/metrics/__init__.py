"""Turn views into metric families and families into the text that Prometheus reads."""
