"""Leave what lasts out of garbage collections: what is known of stations holds no cycles, and there is much of it."""

from __future__ import annotations

import gc

VENUES_AT_ONCE = 500
"""Venues whose states are left out together: a collection that goes through them takes some 15 ms."""


class PermanentGeneration:
    """Move the states of venues out of the collector's sight while they are read, a part at a time.

    A collection holds the interpreter: of 200,000 stations each would keep a scrape waiting for 0.2 s. What is moved
    is freed by its reference count like everything else.
    """

    def __init__(self) -> None:
        self._venues = 0

    def grow(self, venues: int) -> None:
        """Take in what is known of so many venues, once that is much more than before."""
        if venues >= self._venues + VENUES_AT_ONCE:
            self.take(venues)

    def take(self, venues: int) -> None:
        """Take in everything that there is, when so many venues are known."""
        self._venues = venues
        gc.collect()
        gc.freeze()
