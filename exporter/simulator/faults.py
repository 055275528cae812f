"""The faults in force: which misbehaviour hits which requests, how often and how long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import count
from random import Random
from threading import Lock
from typing import Any, Literal, NamedTuple

from exporter.clock import Clock
from exporter.model import NOTHING
from exporter.simulator.messages import Answer
from exporter.simulator.misbehaviour import CATALOGUE, Rows
from exporter.simulator.world import Id

Endpoint = Literal["auth", "venues", "stations"]


class Call(NamedTuple):
    """What a fault can be selected by. None is what a request does not say."""

    endpoint: str
    brand: str | None = None
    venue: str | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour and whom it hits; what is None selects nothing.

    `count` hits and it is over; `duration` seconds and it is over; with `period` it comes back every so many seconds.
    """

    kind: str
    endpoint: Endpoint | None = None
    brand: str | None = None
    venue: str | None = None
    page: int | None = None
    probability: float = 1.0
    count: int | None = None
    duration: float | None = None
    period: float | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING)

    @classmethod
    def of(cls, kind: str, *, venue: Id | None = None, **rest: Any) -> Fault:
        """Make a fault from its selectors and the options of its kind.

        Raises ValueError with a sentence for an unknown kind, selector or option.
        """
        if kind not in CATALOGUE:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(CATALOGUE)}")
        known = CATALOGUE[kind].options
        options = {name: rest.pop(name) for name in known if name in rest}
        if unknown := rest.keys() - cls.__slots__:
            raise ValueError(
                f"{kind} has no {', '.join(sorted(unknown))}; its options are {', '.join(known) or 'none'}"
            )
        return cls(kind, venue=None if venue is None else str(venue), options=options, **rest)

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read `kind,name=value,...`, as `latency,endpoint=stations,seconds=2.5`; values are JSON or plain text.

        Raises ValueError as `Fault.of`.
        """
        kind, *pairs = text.split(",")
        for pair in pairs:
            if "=" not in pair:
                raise ValueError(f"{pair!r} in {text!r} is not name=value")
        return cls.of(kind, **{name: _value(value) for name, _, value in (pair.partition("=") for pair in pairs)})

    def describe(self) -> dict[str, Any]:
        """Give what is set of it as plain values, such that `Fault.of` makes it again."""
        selectors = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "options"}
        return {name: value for name, value in selectors.items() if value is not None} | dict(self.options)

    def selects(self, call: Call) -> bool:
        """Tell whether it is meant for such a request."""
        return all(
            wanted is None or wanted == given
            for wanted, given in zip((self.endpoint, self.brand, self.venue, self.page), call, strict=True)
        )


class Acts(NamedTuple):
    """What the faults of one request do, by the moment they act at."""

    before: list[partial[None]]
    instead: list[partial[Answer]]
    rows: list[partial[Rows]]
    after: list[partial[Answer]]
    wire: list[partial[None]]


@dataclass(slots=True)
class _Armed:
    fault: Fault
    began: float
    left: float

    def active(self, now: float) -> bool:
        age = now - self.began
        if self.fault.period is not None:
            age %= self.fault.period
        return self.left > 0 and (self.fault.duration is None or age < self.fault.duration)


class Faults:
    """Keep the faults in force and draw those that hit a request. Times are the clock's seconds."""

    def __init__(self, clock: Clock, seed: int = 1) -> None:
        self._clock = clock
        self.random = Random(f"faults {seed}")  # noqa: S311 - runs have to repeat
        self._armed: dict[int, _Armed] = {}
        self._numbers = count(1)
        self._lock = Lock()

    def add(self, kind: str | Fault, **selectors: Any) -> int:
        """Let a fault act from now on and give its number. Raises ValueError as `Fault.of`."""
        fault = kind if isinstance(kind, Fault) else Fault.of(kind, **selectors)
        with self._lock:
            number = next(self._numbers)
            left = float("inf") if fault.count is None else fault.count
            self._armed[number] = _Armed(fault, self._clock.steady(), left)
            return number

    def clear(self, number: int | None = None) -> None:
        """End one fault, or all. Raises LookupError for a number that is not in force."""
        with self._lock:
            if number is None:
                self._armed.clear()
            elif self._armed.pop(number, None) is None:
                raise LookupError(f"no fault {number}")

    @contextmanager
    def during(self, kind: str | Fault, **selectors: Any) -> Iterator[int]:
        """Let a fault act within the block."""
        number = self.add(kind, **selectors)
        try:
            yield number
        finally:
            with self._lock:
                self._armed.pop(number, None)

    def listing(self) -> dict[int, dict[str, Any]]:
        """Give the faults in force by number, as plain values."""
        now = self._clock.steady()
        with self._lock:
            return {number: armed.fault.describe() for number, armed in self._armed.items() if armed.active(now)}

    def draw(self, call: Call) -> Acts:
        """Decide which faults hit a request, and count the hits."""
        acts = Acts([], [], [], [], [])
        if self._armed:
            now = self._clock.steady()
            with self._lock:
                for armed in self._armed.values():
                    fault = armed.fault
                    if armed.active(now) and fault.selects(call) and self.random.random() < fault.probability:
                        armed.left -= 1
                        misbehaviour = CATALOGUE[fault.kind]
                        getattr(acts, misbehaviour.moment).append(partial(misbehaviour.act, **fault.options))
        return acts


def describe_faults() -> dict[str, str]:
    """Give every kind of fault with its line of help and its options."""
    return {
        kind: " ".join([one.summary, *(f"[{name}={value!r}]" for name, value in one.options.items())])
        for kind, one in CATALOGUE.items()
    }


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
