"""Changes that nobody ordered: what a restaurant's staff does over a day."""

from __future__ import annotations

from random import Random

from exporter.simulator import names
from exporter.simulator.world import World

_WEIGHTS = {"status": 90, "printable": 4, "name": 2, "touch": 2, "add": 1, "remove": 1}
_COMES_BACK = 0.6  # how often a venue gets an inactive station back rather than losing one


def change_something(world: World, random: Random) -> None:
    """Let one thing change by itself: nearly always a status, now and then anything else."""
    with world.lock:
        brand = random.choice(world.brands)
        if venues := list(world.venues(brand)):
            _change_in(world, brand, random.choice(venues), random)


def _change_in(world: World, brand: str, venue: str, random: Random) -> None:
    rows = world.stations(brand, venue)
    what = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    if what == "add" or not rows:
        world.add_station(brand, venue, random.choice(names.OTHERS))
        return
    if what == "status" and random.random() < _COMES_BACK:
        rows = [row for row in rows if not row["status"]] or rows
    row = random.choice(rows)
    key = (brand, venue, row["id"])
    if what == "status":
        world.set_status(*key, 1 - row["status"])
    elif what == "printable":
        world.edit(*key, printable=1 - row["printable"])
    elif what == "name":
        world.edit(*key, name=random.choice(names.KITCHENS if row["type"] else names.OTHERS))
    elif what == "touch":
        world.touch(*key)
    else:
        world.remove_station(*key)
