"""Reload the configuration when a file that it was read from has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from threading import Thread

import structlog

from exporter.document import stamps

LOG = structlog.get_logger()


class ConfigWatch(Thread):
    """Look at the files of the configuration every `interval` seconds, and call `reload` when some have changed.

    `files` returns those of the newest reading. A change is taken over when a second look finds the files as the first
    did: perhaps somebody is writing them right now, and half a file may lack half of the brands. A reload that comes
    when the process ends does nothing.
    """

    def __init__(self, files: Callable[[], Collection[Path]], interval: float, reload: Callable[[], object]) -> None:
        super().__init__(name="config-watch", daemon=True)
        self._files, self._interval, self._reload = files, interval, reload
        self._in_force = self._seen = stamps(files())

    def look(self) -> None:
        """Look once."""
        now = stamps(self._in_force)
        if now == self._seen and now != self._in_force:
            self._reload()
            # Not the stamps of this moment: what was written since is another change.
            self._in_force = now = {path: now.get(path, new) for path, new in stamps(self._files()).items()}
        self._seen = now

    def run(self) -> None:
        """Look again and again."""
        while True:
            time.sleep(self._interval)
            try:
                self.look()
            except Exception:  # without this thread no change would be taken over any more: the next look tries again
                LOG.exception("config.watch_crashed")
