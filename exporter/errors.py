"""The family of errors: what a person did, what Clopos answered, what the machine refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from exporter.model import Reason


class ExporterError(Exception):
    """Be the parent of every error this project raises on purpose; its text is one line for a person."""


@dataclass(frozen=True, slots=True, order=True)
class ConfigProblem:
    """One mistake in a configuration: where it is (`file:line: key`, an environment name or a flag) and the remedy."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ConfigError(ExporterError):
    """Carry every fault of a configuration at once."""

    def __init__(self, faults: Iterable[ConfigProblem]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class CloposError(ExporterError):
    """Say why Clopos could not be asked, with a reason from the fixed list.

    `brand_wide` is True where login failed, so that no venue of the brand can be read.
    """

    def __init__(self, reason: Reason, message: str, *, brand_wide: bool = False) -> None:
        self.reason = reason
        self.message = message
        self.brand_wide = brand_wide
        super().__init__(f"{reason}: {message}")


class StoreError(ExporterError):
    """Say why the state cannot be kept at the configured path."""


class Stopped(ExporterError):  # noqa: N818 - like StopIteration, it is not an error
    """Unwind a poll that the end of the process cut short: it is neither a success nor a failure."""
