"""A dead man's switch: somebody else notices when the requests to a URL stay away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Thread

import requests
import structlog

from exporter.clock import Clock

LOG = structlog.get_logger()

TIMEOUT_SECONDS = 10.0
_OK = range(200, 300)
"""A redirect is not followed, and whoever waits for the request behind it has not got it."""


class Heartbeat(Thread):
    """Request a URL on a thread, every `interval` seconds, as long as nothing is wrong.

    `problems` returns what is wrong, for the log. The URL is a secret.
    """

    def __init__(self, url: str, interval: float, problems: Callable[[], Sequence[str]], clock: Clock) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._url, self._interval, self._problems, self._clock = url, interval, problems, clock
        self._stopping = Event()
        self._logged: tuple[str, ...] = ()

    def stop(self) -> None:
        """End; a request that is under way is left to itself."""
        self._stopping.set()

    def beat(self) -> bool:
        """Request the URL unless something is wrong, and return whether that was done and answered well."""
        if problems := self._problems():
            self._log("heartbeat.withheld", tuple(problems))
            return False
        if failure := self._request():
            self._log("heartbeat.failed", (failure,))
            return False
        self._log("heartbeat.resumed", ())
        return True

    def _request(self) -> str | None:
        """Return what failed, without the URL, None where all is well."""
        try:
            # Without a session: a minute is longer than most servers keep a connection.
            with requests.get(self._url, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True) as response:
                return None if response.status_code in _OK else f"HTTP {response.status_code}"
        except requests.RequestException as error:
            return type(error).__name__  # its text names the URL

    def _log(self, event: str, problems: tuple[str, ...]) -> None:
        """Log what has changed since the last time, and nothing while it stays the same."""
        if problems == self._logged:
            return
        self._logged = problems
        if problems:
            LOG.warning(event, problems=problems)
        else:
            LOG.info(event)

    def run(self) -> None:
        """Request it until it is stopped."""
        while not self._stopping.is_set():
            try:
                self.beat()
            except Exception:  # a fault of ours must not be taken for the end of the process
                LOG.exception("heartbeat.crashed")
            self._clock.wait(self._stopping, self._interval)
