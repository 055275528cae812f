"""The OpenAPI description, made of the models that check the parameters and hold the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from exporter import __version__
from exporter.web import documents as doc

_REFERENCE = "#/components/schemas/{model}"
_PATHS: dict[str, tuple[str, type[BaseModel], type[BaseModel]]] = {
    "stations": ("List stations and their status", doc.StationQuery, doc.Stations),
    "venues": ("List venues and how well we see them", doc.VenueQuery, doc.Venues),
    "changes": ("List what changed, newest first", doc.ChangeQuery, doc.Changes),
}


def description(prefix: str, server: str) -> dict[str, Any]:
    """Describe the API that a server has below the prefix, as OpenAPI 3.1."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(doc.Refusal, "serialization")]
    models += [(answer, "serialization") for _, _, answer in _PATHS.values()]
    _, schemas = models_json_schema(models, ref_template=_REFERENCE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Clopos exporter",
            "version": __version__,
            "summary": "Stations of Clopos, what changed, and how fresh that is. Times are UTC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "paths": {
            f"{prefix}/{path}": {
                "get": {
                    "operationId": path,
                    "summary": summary,
                    "parameters": list(_parameters(query)),
                    "responses": {"200": _answer(answer), "400": _answer(doc.Refusal)},
                }
            }
            for path, (summary, query, answer) in _PATHS.items()
        },
        "components": {"schemas": schemas["$defs"]},
    }


def _parameters(query: type[BaseModel]) -> Iterator[dict[str, Any]]:
    for name, schema in query.model_json_schema(ref_template=_REFERENCE)["properties"].items():
        plain = {key: value for key, value in schema.items() if key not in ("title", "description")}
        if plain.get("default", ...) in (None, (), []):
            del plain["default"]
        yield {"name": name, "in": "query", "description": schema["description"], "schema": plain}


def _answer(model: type[BaseModel]) -> dict[str, Any]:
    reference = {"$ref": _REFERENCE.format(model=model.__name__)}
    text = (model.__doc__ or "").partition("\n")[0]
    return {"description": text, "content": {"application/json": {"schema": reference}}}
