"""How often a venue deserves a poll, and which interval that makes: pure, from what is known of the venues.

With changes at a rate r that matter w, the expected delay of a venue is w * r * T / 2; under a fixed number of requests
it is smallest overall for poll rates in proportion to sqrt(w * r). Even intervals are best only where all are alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.model import Opening, Topic, VenueState

CLOSED, OPEN, URGENT = 0.1, 1.0, 4.0
"""The weights: a closed venue, an open one, and one with an incident or a recent change."""

OPENING_SOON = 1800.0
"""Seconds before opening from which a venue counts as open."""

RECENT_CHANGE = 600.0
"""Seconds for which a change is recent: who switches one station often switches another, or the same one back."""

URGENT_SHARE = 0.25
"""Part of the quota that urgent venues get together at most, so that all others are polled at 3/4 of their rate."""

LONGEST = 10.0
"""Even intervals that a venue waits at the most."""


def weight(state: VenueState, opening: Opening | None, wall: float) -> float:
    """Return the weight of a venue at `wall`, epoch seconds; without opening hours it counts as open.

    Asked after each poll, which keeps it current: a closed venue is polled several times in its last half hour.
    """
    if any(incident.kind.topic is Topic.STATIONS for incident in state.incidents.values()):
        return URGENT
    changed = (station.last_transition for station in (state.stations or {}).values())
    if any(at is not None and wall - at < RECENT_CHANGE for at in changed):
        return URGENT
    if opening is None or opening.is_open:
        return OPEN
    return OPEN if opening.next_open is not None and opening.next_open - wall <= OPENING_SOON else CLOSED


def intervals(requests: Mapping[float, float], budget: float, shortest: float, longest: float) -> dict[float, float]:
    """Return the poll interval of each weight, seconds.

    `requests` is how many requests one poll of all venues of a weight takes, `budget` how many a second there are. No
    interval is below `shortest`; none is above `longest` unless even intervals are, which is when the quota forces it.
    """
    even = max(shortest, sum(requests.values()) / budget)
    longest = max(longest, even)
    found = _in_proportion(requests, budget, shortest, longest)
    urgent = {weight: number for weight, number in requests.items() if weight > OPEN}
    used = sum(number / found[weight] for weight, number in urgent.items())
    if not used > URGENT_SHARE * budget:
        return found
    rest = {weight: number for weight, number in requests.items() if weight <= OPEN}
    alike = {**rest, OPEN: rest.get(OPEN, 0.0) + sum(urgent.values())}
    not_urgent = _in_proportion(alike, budget, shortest, longest)[OPEN]
    stretch = used / (URGENT_SHARE * budget)
    capped = {weight: min(found[weight] * stretch, not_urgent) for weight in urgent}
    left = budget - sum(number / capped[weight] for weight, number in urgent.items())
    return {**capped, **_in_proportion(rest, left, shortest, longest)}


def _in_proportion(
    requests: Mapping[float, float], budget: float, shortest: float, longest: float
) -> dict[float, float]:
    """Return intervals in inverse proportion to the weights, within bounds, that use the budget."""

    def at(rate: float) -> dict[float, float]:
        return {weight: min(longest, max(shortest, 1 / (rate * weight))) for weight in requests}

    def used(rate: float) -> float:
        return sum(requests[weight] / interval for weight, interval in at(rate).items())

    if not requests:
        return {}
    low, high = 1 / (longest * max(requests)), 1 / (shortest * min(requests))
    if used(high) <= budget:
        return at(high)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if used(middle) <= budget else (low, middle)
    return at(low)
