"""Families to text: the lines of one view, and the two formats' few differences.

Sample lines are the same in text 0.0.4 and OpenMetrics 1.0; only the name in a counter's HELP and TYPE differs. That is
what lets one cached chunk serve both. Byte for byte what prometheus-client writes, which the tests hold against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from prometheus_client.utils import floatToGoString

from exporter.metrics.families import Family, Scope

View = TypeVar("View")


def lines(families: Sequence[Family[View]], view: View) -> list[bytes]:
    """Render a view: the sample lines of each family, in the families' order."""
    rows: dict[int, list[tuple[str, object]]] = {}
    rendered = []
    for family in families:
        scope = family.scope
        labelled = rows.get(id(scope))
        if labelled is None:
            # The label part of a line costs the most and is the same in every family of a scope.
            labelled = rows[id(scope)] = [(_labels(scope, row.labels), row.subject) for row in scope.rows(view)]
        name, value = family.name, family.value
        rendered.append(
            "".join(
                [
                    f"{name}{labels}{number(sample)}\n"
                    for labels, subject in labelled
                    if (sample := value(subject)) is not None
                ]
            ).encode()
        )
    return rendered


def table(families: Sequence[Family[View]], views: Iterable[View], *, openmetrics: bool) -> bytes:
    """Render views whole: each family's header, and under it the lines of all views."""
    columns = zip(*(lines(families, view) for view in views), strict=True)
    chunks = [header(family, openmetrics=openmetrics) for family in families]
    for i, column in enumerate(columns):
        chunks[i] += b"".join(column)
    return b"".join(chunks)


def number(value: float) -> str:
    """Write a sample's value as Go does, which both formats ask for."""
    # Nearly all samples are one of these two.
    if value == 1.0:
        return "1.0"
    if value == 0.0:
        return "0.0"
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def header(family: Family[View], *, openmetrics: bool) -> bytes:
    """Write a family's HELP and TYPE lines."""
    name = family.name
    if openmetrics and family.type == "counter":
        name = name.removesuffix("_total")
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.type}\n".encode()


def _labels(scope: Scope[View], values: Iterable[str]) -> str:
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in zip(scope.label_names, values, strict=True))
    return f"{{{pairs}}} "


def _escape(value: str) -> str:
    if value.isalnum():
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
