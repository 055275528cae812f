"""The templates of the pages, and the static files that they load."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from exporter.clock import iso
from exporter.incidents import holds_since
from exporter.model import Incident, Kind
from exporter.texts import REMEDIES, texts_of
from exporter.web import wording
from exporter.web.filters import venue_value
from exporter.web.language import NAMES
from exporter.web.responses import Endpoint, href
from exporter.web.troubles import Level, Quiet, Trouble
from exporter.web.wording import Wording, wording_for

STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_COMMAND = re.compile(r"clopos-exporter [a-z]+(?: --[a-z]+)*|--config\.file")
FOREVER = "public, max-age=31536000, immutable"


@cache
def templates(telemetry_path: str, language: str) -> Environment:
    """Return the templates in a language."""
    environment = Environment(
        loader=PackageLoader("exporter.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = wording_for(language)
    # Addresses are relative, so that the pages work behind a proxy that serves them under a path of its own.
    environment.globals.update(
        metrics=telemetry_path.removeprefix("/"),
        static=lambda name: f"static/{name}?v={_digest(name)}",
        href=href,
        venue_value=venue_value,
        _=own.gettext,
        ngettext=own.ngettext,
        wording=own,
        iso=partial(iso, timespec="seconds"),
        events=wording.EVENTS,
        incident_texts=wording.INCIDENTS,
        remedies=REMEDIES,
        advice=_advice(own),
        holds_since=holds_since,
        language=language,
        languages=NAMES,
        Level=Level,
        Kind=Kind,
        Quiet=Quiet,
    )
    return environment


def _advice(own: Wording) -> Callable[[Trouble | Incident], str]:
    def advice(about: Trouble | Incident) -> str:
        incident = about if isinstance(about, Incident) else about.incident
        text = str(escape(own.gettext(texts_of(incident).advice) if incident else ""))
        return Markup(_COMMAND.sub(r"<code>\g<0></code>", text))  # noqa: S704 - escaped above

    return advice


def static_file(name: str) -> Endpoint:
    """Return the endpoint of one of STATIC, which browsers may keep for ever under the address that its page names."""
    body, tag = _content(name), f'"{_digest(name)}"'

    def static(request: Request) -> Response:
        current = request.query_params.get("v") == _digest(name)
        headers = {"ETag": tag, "Cache-Control": FOREVER if current else "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=STATIC[name])

    return static


@cache
def _content(name: str) -> bytes:
    return files("exporter.web").joinpath("static", name).read_bytes()


@cache
def _digest(name: str) -> str:
    return sha256(_content(name)).hexdigest()[:16]
