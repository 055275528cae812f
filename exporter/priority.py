"""Scrapes before polls: whoever polls waits a moment while a scrape is answered.

The threads of a process share one interpreter. A scrape gives it away with each piece that it compresses or sends, and
would get it back only after every poll that is ready; so that among many venues a scrape took most of its time waiting.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

LONGEST_SECONDS = 0.25
"""Seconds for which whoever gives way does so at the most: no client stops a poll, however slowly it reads."""


class ScrapePriority:
    """Know whether a scrape is being answered, and let others wait for that."""

    def __init__(self) -> None:
        self._scrapes = 0
        self._until = 0.0
        self._calm = Event()
        self._calm.set()

    @contextmanager
    def scraping(self) -> Iterator[None]:
        """Let others give way while this lasts; entered and left on one thread, that of the server."""
        self._scrapes += 1
        self._until = time.monotonic() + LONGEST_SECONDS
        self._calm.clear()
        try:
            yield
        finally:
            self._scrapes -= 1
            if not self._scrapes:
                self._calm.set()

    def give_way(self) -> None:
        """Wait while a scrape is answered, LONGEST_SECONDS at the most; from any other thread."""
        seconds = self._until - time.monotonic()
        if seconds > 0:
            self._calm.wait(seconds)
