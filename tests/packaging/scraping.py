"""What a container is given to poll the simulator, and what it serves then."""

from __future__ import annotations

import time

import requests

from exporter.simulator import Simulator


def environment(simulator: Simulator, port: int) -> dict[str, str]:
    credentials = {f"CLOPOS_{key.upper()}": value for key, value in simulator.credentials("openapitest").items()}
    return {
        **credentials,
        "CLOPOS_BASE_URL": simulator.url,
        "CLOPOS_EXPORTER_WEB_LISTEN_ADDRESS": f"127.0.0.1:{port}",
    }


def scrape(port: int, wanted: str, seconds: float = 20, host: str = "127.0.0.1") -> str:
    """Ask for the metrics until they hold what is wanted."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            text = requests.get(f"http://{host}:{port}/metrics", timeout=5).text
        except requests.ConnectionError:
            text = ""
        if wanted in text:
            return text
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
