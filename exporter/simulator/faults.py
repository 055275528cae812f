"""The faults in force: which misbehaviour hits which requests, how often and how long."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from random import Random
from threading import Lock
from typing import Any, Literal, NamedTuple, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails

from exporter.clock import Clock
from exporter.simulator.misbehaviour import CATALOGUE, Moment

Endpoint = Literal["auth", "venues", "stations"]


class Call(NamedTuple):
    """What a fault can be selected by. None is what a request does not say."""

    endpoint: str
    brand: str | None = None
    venue: str | None = None
    page: int | None = None


class Fault(BaseModel):
    """One misbehaviour and whom it hits; what is None selects nothing. What is not named here is an option of its kind.

    `count` hits and it is over; `duration` seconds and it is over; with `period` it comes back every so many seconds.
    """

    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True)

    kind: str
    endpoint: Endpoint | None = None
    brand: str | None = None
    venue: str | None = None
    page: int | None = None
    probability: float = Field(default=1.0, ge=0, le=1)
    count: int | None = None
    duration: float | None = None
    period: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if self.kind not in CATALOGUE:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(CATALOGUE)}")
        known = CATALOGUE[self.kind].options
        for name, value in self.options.items():
            if name not in known:
                raise ValueError(f"{self.kind} has no option {name}; its options are {', '.join(known) or 'none'}")
            try:
                TypeAdapter(known[name].annotation).validate_python(value, strict=True)
            except ValidationError as error:
                raise ValueError(f"{name}: {error.errors()[0]['msg']}") from error
        return self

    @classmethod
    def of(cls, kind: str, **rest: Any) -> Fault:
        """Make a fault from its selectors and options. Raises ValueError with a sentence."""
        try:
            return cls(kind=kind, **rest)
        except ValidationError as error:
            raise ValueError("; ".join(map(_sentence, error.errors()))) from error

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read `kind,name=value,...`, as `latency,endpoint=stations,seconds=2.5`; values are JSON or plain text.

        Raises ValueError with a sentence.
        """
        kind, *pairs = re.split(r",(?=\w+=)", text)
        return cls.of(kind, **{name: _value(value) for name, _, value in (pair.partition("=") for pair in pairs)})

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of its kind."""
        return self.model_extra or {}

    def selects(self, call: Call) -> bool:
        """Return whether it is meant for such a request."""
        return all(
            wanted is None or wanted == given
            for wanted, given in zip((self.endpoint, self.brand, self.venue, self.page), call, strict=True)
        )


Acts = Mapping[Moment, list[Callable[..., Any]]]
"""What the faults of one request do, by the moment they act at."""


@dataclass(slots=True)
class _Armed:
    fault: Fault
    began: float
    left: float

    def active(self, now: float) -> bool:
        """Return whether it may hit now."""
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
        """Let a fault act from now on and return its number. Raises ValueError as `Fault.of`."""
        fault = kind if isinstance(kind, Fault) else Fault.of(kind, **selectors)
        now = self._clock.monotonic()
        with self._lock:
            self._armed = {id_: one for id_, one in self._armed.items() if one.active(now) or one.fault.period}
            number = next(self._numbers)
            left = float("inf") if fault.count is None else fault.count
            self._armed[number] = _Armed(fault, now, left)
            return number

    def clear(self, number: int | None = None) -> None:
        """End one fault, or all; one that is over is none."""
        with self._lock:
            if number is None:
                self._armed.clear()
            else:
                self._armed.pop(number, None)

    @contextmanager
    def during(self, kind: str | Fault, **selectors: Any) -> Iterator[int]:
        """Let a fault act within the block."""
        number = self.add(kind, **selectors)
        try:
            yield number
        finally:
            self.clear(number)

    def listing(self) -> dict[int, Fault]:
        """Return the faults in force by number."""
        now = self._clock.monotonic()
        with self._lock:
            return {number: armed.fault for number, armed in self._armed.items() if armed.active(now)}

    def draw(self, call: Call) -> Acts:
        """Decide which faults hit a request, and count the hits."""
        acts: Acts = defaultdict(list)
        if self._armed:
            now = self._clock.monotonic()
            with self._lock:
                for armed in self._armed.values():
                    fault = armed.fault
                    if armed.active(now) and fault.selects(call) and self.random.random() < fault.probability:
                        armed.left -= 1
                        misbehaviour = CATALOGUE[fault.kind]
                        acts[misbehaviour.moment].append(partial(misbehaviour.act, **fault.options))
        return acts


def explain_faults() -> dict[str, str]:
    """Return every kind of fault with its line of help and the defaults of its options."""
    return {
        kind: " ".join([one.summary, *(f"[{name}={option.default!r}]" for name, option in one.options.items())])
        for kind, one in CATALOGUE.items()
    }


def describe_faults() -> str:
    """Write for people what `Fault.parse` understands."""
    width = max(map(len, CATALOGUE))
    return "\n".join(
        [
            "KIND[,NAME=VALUE]..., as in latency,endpoint=stations,venue=3,probability=0.1,seconds=2",
            "",
            f"Whom it hits: endpoint ({', '.join(get_args(Endpoint))}), brand, venue, page; with a probability;",
            "for count requests or duration seconds; again every period seconds.",
            "",
            *(f"{kind:{width}}  {text}" for kind, text in explain_faults().items()),
        ]
    )


def _sentence(details: ErrorDetails) -> str:
    place, message = ".".join(map(str, details["loc"])), details["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
