"""Ask, decide, tell, remember: the natural path of every poll, whatever is polled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

from exporter.model import Change

Subject = TypeVar("Subject")
State = TypeVar("State")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Poller(Generic[Subject, State, Outcome]):
    """Poll something, a venue or a brand; many may be asked at a time, and within `lock` one outcome is taken in.

    Telling comes before remembering: if the process dies between the two, the change is found and told once more;
    the other way round it would be lost.
    """

    ask: Callable[[Subject], Outcome]
    recall: Callable[[Subject], State]
    decide: Callable[[State, Outcome], tuple[State, Sequence[Change]]]
    tell: Callable[[Sequence[Change]], None]
    remember: Callable[[State, Sequence[Change]], None]
    lock: AbstractContextManager[object] = field(default_factory=Lock)

    def poll(self, subject: Subject) -> Outcome:
        """Poll once and give the outcome."""
        return self.take(subject, self.ask(subject))

    def take(self, subject: Subject, outcome: Outcome) -> Outcome:
        """Take in an outcome that is there already."""
        with self.lock:
            state, changes = self.decide(self.recall(subject), outcome)
            self.tell(changes)
            self.remember(state, changes)
        return outcome
