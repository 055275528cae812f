"""What people read, in their language: gettext catalogues and times, shared by notifications and pages.

The catalogues are read as they are written, `locale/<language>/LC_MESSAGES/clopos-exporter.po`: nothing has to be
compiled before a wheel, an sdist or a checkout works.
"""

from __future__ import annotations

from datetime import tzinfo
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO

from exporter.clock import in_zone

LANGUAGES = ("en", "az", "ru", "uz")
"""English is the language of the source and has no catalogue."""

DOMAIN = "clopos-exporter"


@cache
def translations(language: str) -> NullTranslations:
    """Return the catalogue of one of LANGUAGES; a message that it lacks stays English."""
    if language == "en":
        return NullTranslations()
    # Imported here: a daemon that speaks English alone does not need it.
    from babel.messages.mofile import write_mo  # noqa: PLC0415
    from babel.messages.pofile import read_po  # noqa: PLC0415

    catalogue = files("exporter").joinpath("locale", language, "LC_MESSAGES", f"{DOMAIN}.po")
    compiled = BytesIO()
    with catalogue.open("rb") as source:
        write_mo(compiled, read_po(source, locale=language))
    compiled.seek(0)
    return GNUTranslations(compiled)


def time_of_day(at: float, now: float, zone: tzinfo | None, language: str) -> str:
    """Write the time of day in a time zone, UTC where there is none, with the date unless it is today's."""
    from babel.dates import format_skeleton  # noqa: PLC0415 - as above

    moment, today = (in_zone(wall, zone) for wall in (at, now))
    time = moment.strftime("%H:%M") + ("" if zone else " UTC")
    if moment.date() == today.date():
        return time
    date = format_skeleton("MMMd" if moment.year == today.year else "yMMMd", moment, locale=language)
    return f"{date} {time}"
