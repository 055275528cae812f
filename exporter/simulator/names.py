"""The names the simulated world is made of: the alphabets, quotes and signs that real back offices hold."""
# ruff: noqa: RUF001 - letters that look alike are what real names are made of

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

BRANDS = ("openapitest", "tandir-group", "xezer-coffee", "qala", "dolma-house", "sumax", "nar-and-co", "plov-1001")

VENUES = (
    "Nizami küçəsi",
    "28 May",
    "Gənclik Mall",
    "Ресторан «Каспий»",
    'Fəvvarələr "Meydanı"',
    "İçərişəhər",
    "Port Baku",
    "Деревня у моря",
    "Əhmədli",
    "Sumqayıt Bulvar",
    "Gəncə Park & Garden",
    "Шеки, Караван-сарай",
)

KITCHENS = ("Kitchen", "Tandır", "Горячий цех", "Soyuq sex", "Manqal", 'Pizza "Napoli"', "Şirniyyat", "Sup & Salat")

OTHERS = ("Bar", "Tandir", "Qəlyan", "Кондитерская", "Expo <screen>", "Kassa \\ çek", "Çay evi", "Terrace, 2nd floor")


def endless(names: tuple[str, ...], separator: str = " ") -> Iterator[str]:
    """Yield the names, then the same names with a number, each one once."""
    yield from names
    for number in count(2):
        for name in names:
            yield f"{name}{separator}{number}"
