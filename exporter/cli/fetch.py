"""Read from Clopos once, outside of the daemon: what `check` and `stations` share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

import click

from exporter.app import translate
from exporter.clock import Clock
from exporter.clopos.client import Client
from exporter.clopos.limits import IpLimits
from exporter.config import Brand
from exporter.errors import CloposError
from exporter.masking import escape_controls
from exporter.model import Reason, Venue
from exporter.texts import remedy

SECONDS = 60.0
"""How long a person waits for one response, the rate limit included."""

_SIDE_BY_SIDE = 8
_MANY = 10

T = TypeVar("T")


@contextmanager
def clients(brands: Sequence[Brand]) -> Iterator[list[Client]]:
    """Yield a client for each brand, and close them all at the end."""
    clock, stop = Clock(), Event()
    address = IpLimits(clock, stop)
    made = [translate.client(brand, clock=clock, stop=stop, ip_limits=address) for brand in brands]
    try:
        yield made
    finally:
        stop.set()
        for client in made:
            client.close()


def fetch_each(
    venues: Sequence[Venue], fetch: Callable[[Venue], T], label: str
) -> Iterator[tuple[Venue, T | CloposError]]:
    """Fetch for each venue, some side by side, and yield results or errors in order; many have a progress bar."""

    def outcome(venue: Venue) -> T | CloposError:
        try:
            return fetch(venue)
        except CloposError as error:
            return error

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        outcomes = pool.map(outcome, venues)
        # On standard error, so that a pipe gets the results alone.
        hidden = len(venues) < _MANY or not sys.stderr.isatty()
        with click.progressbar(outcomes, length=len(venues), label=label, file=sys.stderr, hidden=hidden) as bar:
            yield from zip(venues, list(bar), strict=True)


def explain(error: CloposError) -> str:
    """Return what failed and what a person should do."""
    message = escape_controls(error.message)
    if error.reason is Reason.CONNECTION:
        return f"{message}\n    Check base_url, the network, and the proxy if there is one."
    return f"{message}\n    {remedy(error.reason)}" if error.reason.is_configuration else message
