"""What a channel has to send now, and what becomes of its deliveries once that is accepted: pure, time passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from math import inf

from exporter.model import Ended, Incident
from exporter.outbox import Delivery, DeliveryState, IncidentKey

_LOOK_AGAIN_SECONDS = 30.0
_Pair = tuple[Delivery, Delivery | None]
"""The delivery of a firing, and that of its end."""


class Form(Enum):
    """What a notice says of its incident."""

    FIRING = auto()
    REMINDER = auto()
    PAST = auto()
    RESOLVED = auto()


@dataclass(frozen=True, slots=True)
class Notice:
    """One incident as part of a message; `ended_at` is epoch seconds, and `ended` says how it ended."""

    form: Form
    incident: Incident
    ended_at: float | None = None
    ended: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long deliveries wait for company, how often a firing incident is repeated, and when they are given up.

    All in seconds; None for `repeat_interval` is never.
    """

    group_wait: float = 30.0
    repeat_interval: float | None = None
    max_age: float = 86400.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with the deliveries of a channel.

    `notices` make one message, to be sent now. Once it is accepted, `accepted` are the deliveries to write; `waiting`
    are those that no message has delivered yet. `done` are to be written at once, `expired` of them because they were
    not delivered in time. `wait` is after how many seconds there is something to do next, infinite for not at all.
    """

    notices: tuple[Notice, ...] = ()
    accepted: tuple[Delivery, ...] = ()
    waiting: tuple[Delivery, ...] = ()
    done: tuple[Delivery, ...] = ()
    expired: tuple[Delivery, ...] = ()
    wait: float = inf


def plan(
    deliveries: Sequence[Delivery],
    now: float,
    timing: Timing,
    *,
    age: Callable[[Delivery], float],
    still_firing: Callable[[Incident], bool] = lambda _: True,
) -> Plan:
    """Decide what a channel has to send at `now`, epoch seconds.

    `deliveries` are all that are not done, in the order of their ids. `age` is how many seconds a delivery has waited,
    and `still_firing` whether an incident is known to go on, without which it is not repeated.
    """
    pairs, done, expired = _pair(deliveries, lambda row: age(row) >= timing.max_age)
    news: list[_Pair] = []
    reminders: list[Delivery] = []
    wait = inf
    for row, end in pairs:
        if end is not None and _needs_no_message(row, end):
            done += [row, end]
        elif end is not None or row.state is DeliveryState.WAITING:
            news.append((row, end))
        elif timing.repeat_interval is not None and row.accepted_at is not None:
            left = row.accepted_at + timing.repeat_interval - now
            # Where the clock was set back by more than that, the next one does not wait until it has caught up.
            if 0.0 < left <= 2 * timing.repeat_interval:
                wait = min(wait, left)
            elif still_firing(row.incident):
                reminders.append(row)
            else:
                wait = min(wait, _LOOK_AGAIN_SECONDS)
    finished = tuple(replace(row, state=DeliveryState.DONE) for row in done)
    new = [row for pair in news for row in pair if row is not None and row.state is DeliveryState.WAITING]
    left = timing.group_wait - max(map(age, new), default=-inf)
    if (new and left > 0.0) or not (new or reminders):
        return Plan(waiting=tuple(new), done=finished, expired=tuple(expired), wait=min(wait, left))
    message = list(_message(news, reminders, now))
    return Plan(
        notices=tuple(notice for notice, _ in message),
        accepted=tuple(row for _, after in message for row in after),
        waiting=tuple(new),
        done=finished,
        expired=tuple(expired),
        wait=0.0,
    )


def _pair(
    deliveries: Iterable[Delivery], is_expired: Callable[[Delivery], bool]
) -> tuple[list[_Pair], list[Delivery], list[Delivery]]:
    """Return each firing with its end, what has become pointless, and what of that is because it expired."""
    pairs: list[_Pair] = []
    done: list[Delivery] = []
    expired: list[Delivery] = []
    begun: dict[IncidentKey, deque[int]] = {}  # several where two of a kind and place fire at the same time
    for row in deliveries:
        index = begun[row.key].popleft() if row.is_end and begun.get(row.key) else None
        if row.state is DeliveryState.WAITING and is_expired(row):
            expired.append(row)
            if index is not None:  # Who did not get the news of the end must not be reminded of the beginning.
                done.append(pairs[index][0])
        elif not row.is_end:
            begun.setdefault(row.key, deque()).append(len(pairs))
            pairs.append((row, None))
        elif index is not None:
            pairs[index] = (pairs[index][0], row)
        else:
            done.append(row)  # Nobody here was notified of the beginning.
    gone = {row.id for row in (*done, *expired)}
    return [pair for pair in pairs if pair[0].id not in gone], [*done, *expired], expired


def _needs_no_message(begun: Delivery, end: Delivery) -> bool:
    how = end.change.details.get("ended")
    if begun.state is DeliveryState.ACCEPTED:
        return how in (Ended.CLOSED, Ended.REPLACED)
    # Nobody knows of it yet. What replaced it says all there is to say, and what is left out of the alerts now need not
    # begin with one; but what closing time ended did happen.
    return how in (Ended.REPLACED, Ended.IGNORED, Ended.RETIRED)


def _message(
    news: Iterable[_Pair], reminders: Iterable[Delivery], now: float
) -> Iterator[tuple[Notice, tuple[Delivery, ...]]]:
    """Yield each notice, and its deliveries as they are once the message is accepted."""
    for begun, end in news:
        if end is None:
            yield Notice(Form.FIRING, begun.incident), (replace(begun, state=DeliveryState.ACCEPTED, accepted_at=now),)
        else:
            form = Form.RESOLVED if begun.state is DeliveryState.ACCEPTED else Form.PAST
            details = end.change.details
            ended_at = details.get("active_since", end.change.observed_at)
            notice = Notice(form, begun.incident, ended_at, str(details.get("ended", "")))
            yield notice, (replace(begun, state=DeliveryState.DONE), replace(end, state=DeliveryState.DONE))
    for row in reminders:
        yield Notice(Form.REMINDER, row.incident), (replace(row, accepted_at=now),)
