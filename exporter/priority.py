"""Scrapes before all else: whoever polls, or prepares a page, waits a moment while a scrape is answered.

The threads of a process share one interpreter. A scrape gives it away with each piece that it compresses or sends, and
would get it back only after every poll that is ready: among many venues it would spend most of its time waiting.
"""

from __future__ import annotations

import time
from threading import Event

LONGEST_SECONDS = 1.0
"""Seconds for which others give way at once: a client that reads slowly, or asks without end, stops nobody.

As many seconds must then pass without a scrape, so that others have at least half of all time.
"""


class ScrapePriority:
    """Know whether a scrape is being answered, and let others wait for that.

    A context manager: others give way while it is entered, by one thread, that of the server.
    """

    def __init__(self) -> None:
        self._scrapes = 0
        self._left = LONGEST_SECONDS
        self._until = self._ended = time.monotonic()
        self._calm = Event()
        self._calm.set()

    def __enter__(self) -> None:
        """Let others give way from now on."""
        if not self._scrapes:
            now = time.monotonic()
            self._left = min(LONGEST_SECONDS, self._left + now - self._ended)
            self._until = now + self._left
            self._calm.clear()
        self._scrapes += 1

    def __exit__(self, *_: object) -> None:
        """Let others go on, unless another scrape is under way."""
        self._scrapes -= 1
        if not self._scrapes:
            self._ended = time.monotonic()
            self._left = max(0.0, self._until - self._ended)
            self._calm.set()

    def give_way(self) -> None:
        """Wait while a scrape is answered, a moment at the most; from any other thread."""
        seconds = self._until - time.monotonic()
        if seconds > 0:
            self._calm.wait(seconds)
