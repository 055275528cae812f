"""Divide the brands among processes: each brand on exactly one shard, because its quota is one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from exporter.config.settings import Brand
from exporter.document import shown


def owned(brands: Iterable[Brand], shard: int, total: int) -> tuple[Brand, ...]:
    """Return the brands of one shard, counted from 0 below `total`, in their order."""
    return tuple(brand for brand in brands if shard_of(brand.brand, total) == shard)


def shard_of(brand: str, total: int) -> int:
    """Return the shard of a brand: the one with the highest hash of both names.

    Rendezvous hashing (Thaler and Ravishankar, 1998): other brands have no say, and with one shard more, only the
    brands move that the new one wins, one in `total`.
    """
    return max(range(total), key=lambda shard: blake2b(f"{shard}/{brand}".encode(), digest_size=8).digest())


def ordinal(environ: Mapping[str, str]) -> int:
    """Take the shard from the name of a StatefulSet's pod, as 2 from `clopos-exporter-2`.

    The name is POD_NAME or else HOSTNAME. Raises ValueError with a sentence for a person.
    """
    name = environ.get("POD_NAME") or environ.get("HOSTNAME") or ""
    found = re.search(r"-(\d{1,9})$", name)
    if not found:
        raise ValueError(f"needs --shard as well: POD_NAME or HOSTNAME, {shown(name)}, is not a pod's that ends in -N")
    return int(found[1])
