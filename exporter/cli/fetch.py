"""Ask Clopos once, outside of the daemon: what `check` and `stations` share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

import click

from exporter.app.brand import connect
from exporter.cli import options
from exporter.clock import Clock
from exporter.clopos.client import Client
from exporter.clopos.limits import IpLimits
from exporter.config import Brand
from exporter.errors import CloposError
from exporter.model import Venue

SECONDS = 60.0
"""How long a person waits for one answer, the quota's pace included."""

_SIDE_BY_SIDE = 8
_MANY = 10

T = TypeVar("T")


@contextmanager
def clients(brands: Sequence[Brand]) -> Iterator[list[Client]]:
    """Make a client for each brand, and close them."""
    clock, stop = Clock(), Event()
    address = IpLimits(clock, stop)
    made = [connect(brand, clock=clock, stop=stop, ip_limits=address) for brand in brands]
    try:
        yield made
    finally:
        stop.set()
        for client in made:
            client.close()


def of_each(venues: Sequence[Venue], ask: Callable[[Venue], T], label: str) -> Iterator[tuple[Venue, T | CloposError]]:
    """Ask for each venue, some side by side, and give answers or errors in order; a bar shows the way of many."""

    def answer(venue: Venue) -> T | CloposError:
        try:
            return ask(venue)
        except CloposError as error:
            return error

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        answers = pool.map(answer, venues)
        # On standard error, so that a pipe gets the answers alone; click hides it where nobody watches.
        with click.progressbar(
            answers, length=len(venues), label=label, file=sys.stderr, hidden=len(venues) < _MANY
        ) as bar:
            yield from zip(venues, list(bar), strict=True)


def explain(error: CloposError) -> str:
    """Say what failed and what a person should do."""
    message = options.visible(error.message)
    return f"{message}\n    {error.reason.remedy}" if error.reason.is_configuration else message
