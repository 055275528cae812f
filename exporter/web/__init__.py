"""Serve: metrics, health, pages and JSON, with TLS and authentication."""
