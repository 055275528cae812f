"""The control path: switch stations and add faults by hand while the simulator runs, from the same machine only."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

from exporter.simulator.faults import Fault, Faults, explain_faults
from exporter.simulator.messages import Answer, Request, answer_json, problem
from exporter.simulator.world import EDITABLE, World

PREFIX = "/_control/"

ROUTES = {
    "GET /_control/": "this help, the kinds of faults, and every brand with its credentials and stations",
    "PATCH /_control/stations/BRAND/VENUE/STATION": "change a station: JSON with status, printable, type or name",
    "POST /_control/faults": "add a fault, as text: latency,endpoint=stations,seconds=2",
    "DELETE /_control/faults": "end all faults",
}


class Control:
    """Answer control requests: 200 with JSON, or 400, 403 or 404 with a sentence."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world, self._faults = world, faults

    def answer(self, request: Request) -> Answer:
        """Do what a request asks for."""
        if not ip_address(request.ip).is_loopback:
            return problem(403, "The control path is for this machine only")
        path = [unquote(part) for part in request.path.removeprefix(PREFIX).split("/")]
        try:
            return answer_json(self._respond(request.method, path, request.body.decode()))
        except ValueError as error:
            return problem(400, str(error))
        except LookupError as error:
            return problem(404, str(error.args[0]))

    def _respond(self, method: str, path: list[str], body: str) -> dict[str, Any]:
        match method, path:
            case "GET", [""]:
                return self._help()
            case "PATCH", ["stations", brand, venue, station]:
                return self._change_station(brand, venue, station, json.loads(body))
            case "POST", ["faults"]:
                return {"number": self._faults.add(Fault.parse(body))}
            case "DELETE", ["faults"]:
                self._faults.clear()
                return {}
        raise LookupError(f"No such control; there are: {', '.join(ROUTES)}")

    def _help(self) -> dict[str, Any]:
        world = self._world
        brands = {
            brand: {
                "credentials": world.credentials(brand),
                "venues": {
                    id_: {"name": name, "stations": world.stations(brand, id_)}
                    for id_, name in world.venues(brand).items()
                },
            }
            for brand in world.brands
        }
        return {"routes": ROUTES, "faults": explain_faults(), "brands": brands}

    def _change_station(self, brand: str, venue: str, station: str, fields: Any) -> dict[str, Any]:
        if not isinstance(fields, dict) or fields.keys() - EDITABLE.keys():
            raise ValueError(f"send a JSON object with {', '.join(EDITABLE)}")
        self._world.edit(brand, venue, station, **fields)
        return self._world.station(brand, venue, station)
