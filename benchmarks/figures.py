"""Figures: what was measured and what it has to be, as a table on the terminal and in the documentation."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tabulate import tabulate

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
LIBRARIES = ("prometheus-client", "requests", "uvicorn", "apscheduler")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a table. `reached` is None where there is nothing to reach."""

    what: str
    measured: str
    target: str = ""
    reached: bool | None = None

    @classmethod
    def at_most(cls, what: str, value: float, limit: float, form: str = "{:.2f}") -> Figure:
        """Make a figure that has to stay within a limit; `form` writes both."""
        return cls(what, form.format(value), "≤ " + form.format(limit), value <= limit)

    @classmethod
    def at_least(cls, what: str, value: float, limit: float, form: str = "{:.2f}") -> Figure:
        """Make a figure that has to reach a limit; `form` writes both."""
        return cls(what, form.format(value), "≥ " + form.format(limit), value >= limit)


def table(figures: Sequence[Figure]) -> str:
    """Write a table in Markdown, which reads well on a terminal too."""
    answers = {True: "yes", False: "**no**", None: ""}
    rows = [(figure.what, figure.measured, figure.target, answers[figure.reached]) for figure in figures]
    return tabulate(rows, ("figure", "measured", "target", "reached"), "github", disable_numparse=True)


def circumstances() -> str:
    """Say where and when this was measured, and what else the machine had to do."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores of {_processor()}, load {os.getloadavg()[0]:.1f}, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}, {libraries}."
    )


def write(part: str, text: str, document: Path = DOCUMENT) -> None:
    """Put a part's result into the document, between the marks that name the part."""
    begin, end = f"<!-- begin {part} -->", f"<!-- end {part} -->"
    whole = document.read_text()
    document.write_text(
        re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", whole, count=1, flags=re.DOTALL)
    )


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()
