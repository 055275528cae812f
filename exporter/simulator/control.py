"""The control path: look into the simulator and change it over HTTP, from the same machine only."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from exporter.simulator.encoding import encode
from exporter.simulator.faults import explain_faults
from exporter.simulator.messages import Answer, Request, problem
from exporter.simulator.world import Id

if TYPE_CHECKING:
    from exporter.simulator.simulator import Simulator

PREFIX = "/_control/"

ROUTES = {
    "GET ": "this help, the kinds of faults and every brand's credentials",
    "GET state": "what is true now [brand=]",
    "GET changes": "the record of every change that truly happened [since=]",
    "POST churn": "let so many changes happen by themselves, now {count}",
    "POST stations/BRAND/VENUE": "add a station {name, id, status, type, printable}",
    "PATCH stations/BRAND/VENUE/STATION": "change a station {status, printable, type, name, touch}",
    "PUT stations/BRAND/VENUE/STATION": "serve {row: TEXT}, JSON or not, in place of its row; null: the truth again",
    "DELETE stations/BRAND/VENUE/STATION": "remove a station",
    "POST venues/BRAND": "add a venue {name, id}",
    "PATCH venues/BRAND/VENUE": "rename a venue {name}",
    "DELETE venues/BRAND/VENUE": "remove a venue",
    "GET faults": "the faults in force, by number",
    "POST faults": "add a fault {kind, endpoint, brand, venue, page, probability, count, duration, period, OPTIONS}",
    "DELETE faults/NUMBER": "end a fault; without a number all of them",
    "GET requests": "the requests that came in [since=, endpoint=, brand=, venue=]",
    "PUT load/BRAND": "let another client spend of the brand's quota {per_minute}",
    "POST tokens/expire": "let tokens expire {brand}",
    "POST tokens/revoke": "forget tokens {brand}",
    "POST reset": "end faults and load; forget requests, used quota and tokens; the stations stay as they are",
}


class Control:
    """Answer control requests: most of them are methods of the simulator's own parts, called by name.

    Path segments become positional arguments, the query or the JSON body named ones.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        world = self._world = simulator.world
        self._routes: dict[tuple[str, str], Callable[..., Any]] = {
            ("GET", ""): self._help,
            ("GET", "state"): self._state,
            ("GET", "changes"): self._changes,
            ("POST", "churn"): simulator.churn,
            ("POST", "stations"): world.add_station,
            ("PATCH", "stations"): self._change_station,
            ("PUT", "stations"): world.serve_raw,
            ("DELETE", "stations"): world.remove_station,
            ("POST", "venues"): world.add_venue,
            ("PATCH", "venues"): world.rename_venue,
            ("DELETE", "venues"): world.remove_venue,
            ("GET", "faults"): simulator.faults.listing,
            ("POST", "faults"): simulator.faults.add,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "requests"): self._requests,
            ("PUT", "load"): simulator.limits.set_load,
            ("POST", "tokens"): self._tokens,
            ("POST", "reset"): simulator.reset,
        }

    def answer(self, request: Request) -> Answer:
        """Do what a control request asks: 200 with JSON, 400, 403 or 404 with a sentence."""
        if not ip_address(request.ip).is_loopback:
            return problem(403, "The control path is for this machine only")
        resource, *path = map(unquote, request.path.removeprefix(PREFIX).split("/"))
        route = self._routes.get((request.method, resource))
        if route is None:
            return problem(404, f"No such control; there are: {', '.join(ROUTES)}")
        try:
            named = json.loads(request.body) if request.body else dict(request.query)
            call = inspect.signature(route).bind(*path, **named)
        except (TypeError, ValueError) as error:
            return problem(400, f"{request.method} {resource}: {error}")
        try:
            return Answer(200, encode(route(*call.args, **call.kwargs)).encode())
        except ValueError as error:
            return problem(400, str(error))
        except LookupError as error:
            return problem(404, str(error))

    def _help(self) -> dict[str, Any]:
        return {
            "base_url": self._simulator.url,
            "routes": {route.replace(" ", f" {PREFIX}", 1): text for route, text in ROUTES.items()},
            "faults": explain_faults(),
            "credentials": [self._world.credentials(brand) for brand in self._world.brands],
        }

    def _state(self, brand: str | None = None) -> dict[str, Any]:
        return {
            slug: {
                venue: {"name": name, "stations": self._world.stations(slug, venue)}
                for venue, name in self._world.venues(slug).items()
            }
            for slug in ([brand] if brand else self._world.brands)
        }

    def _changes(self, since: Id = 0) -> list[dict[str, Any]]:
        return [mutation._asdict() for mutation in self._world.mutations(int(since))]

    def _change_station(self, brand: str, venue: Id, station: Id, **fields: Any) -> dict[str, Any]:
        changes: dict[str, Callable[..., None]] = {
            "status": self._world.set_status,
            "printable": self._world.set_printable,
            "type": self._world.set_kind,
            "name": self._world.rename,
            "touch": lambda *key: self._world.touch(*key[:3]),
        }
        if unknown := fields.keys() - changes.keys():
            raise ValueError(f"a station has no {', '.join(sorted(unknown))}; there are {', '.join(changes)}")
        for name, value in fields.items():
            changes[name](brand, venue, station, value)
        return self._world.station(brand, venue, station)

    def _clear_faults(self, number: Id | None = None) -> None:
        self._simulator.faults.clear(None if number is None else int(number))

    def _requests(self, since: Id = 0, **wanted: str) -> list[dict[str, Any]]:
        return [asdict(entry) for entry in self._simulator.traffic.entries(int(since), **wanted)]

    def _tokens(self, action: str, brand: str | None = None) -> None:
        actions = {"expire": self._simulator.tokens.expire, "revoke": self._simulator.tokens.revoke}
        if action not in actions:
            raise LookupError(f"no tokens/{action}; there are {', '.join(actions)}")
        actions[action](brand)
