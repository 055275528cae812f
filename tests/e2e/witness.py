"""A witness between the simulator and its clients: what a poller was truly sent, and what it has to make of it.

A poller can know no more than the answers it gets: what was changed and changed back between two of them leaves no
trace. So a log is held not against every change that happened, but against the answers that carried them. An answer was
taken in for sure once the same client, known by its token, asks for the same list again: it polls a list only when the
poll before is over. The last answer before a kill may have been logged in full, in part or not at all; and what was
logged may have been lost.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

from exporter.model import Event
from exporter.simulator import Simulator
from exporter.simulator.messages import Answer, Request
from exporter.simulator.server import Wire

List = tuple[str, str | None]
"""What was asked for: the stations of (brand, venue), or the venues of (brand, None)."""

EmittedEvent = tuple[str, str, str | None]
"""An event as it should stand in the log: its name, the name of what it is about, and that one's updated_at."""

STATION_EVENTS = frozenset(event for event in Event if event.startswith("station."))
"""The changes of stations: a warning about a row that cannot be read is none of them."""

_MOST_HEADERS, _LONGEST_HEADER = 100, 60_000  # more than that and an HTTP client refuses the answer


class Row(NamedTuple):
    """What a poller reads of a station or, the name alone, of a venue."""

    name: str
    status: int = 1
    type: int = 0
    printable: int = 1
    updated_at: str | None = None


class Memory(NamedTuple):
    """What a poller knows of a station or venue of a list that it has seen: its last row, None where it was absent.

    `missing` counts the answers in a row that did not hold it.
    """

    row: Row | None
    missing: int = 0


@dataclass(slots=True, eq=False)
class Sight:
    """A list, by id, as a client was answered at a time (epoch seconds); `sure` once it surely took it in.

    One that is not `whole` does not add up: a poller may believe it when it comes again, but it proves no absence.
    """

    at: float
    token: str
    rows: Mapping[str, Row]
    whole: bool
    sure: bool = False


class Witness:
    """Note what a simulator answers, from now on. `asked` counts the requests with a good token."""

    def __init__(self, simulator: Simulator) -> None:
        self.asked = 0
        self._clock, self._find = simulator.world.clock, simulator.tokens.find
        self._api, simulator._api = simulator._api, self  # type: ignore[assignment]
        self._lock = Lock()
        self._sights: defaultdict[List, list[Sight]] = defaultdict(list)

    def serve(self, request: Request, wire: Wire) -> None:
        """Stand in for the API."""
        token = request.headers.get("x-token", "")
        grant = self._find(token)
        if grant is None:
            self._api.serve(request, wire)
            return
        asked: List = (grant.brand, request.headers["x-venue"] if request.path.endswith("stations") else None)
        with self._lock:
            self.asked += 1
            sights = self._sights[asked]
            if sights and sights[-1].token == token and sights[-1].whole:
                sights[-1].sure = True
        self._api.serve(request, _HeardWire(wire, lambda answer, whole: self._note(asked, token * whole, answer)))

    @property
    def lists(self) -> list[List]:
        """Return what was ever asked for."""
        with self._lock:
            return list(self._sights)

    def sights(self, asked: List) -> list[Sight]:
        """Return the complete answers for a list, oldest first."""
        with self._lock:
            return list(self._sights[asked])

    def faults(self, log: Sequence[Mapping[str, Any]]) -> str:
        """Hold a log, from the first event on, against what was answered; return a line for whatever does not fit.

        A start repeats what an earlier life logged without storing that it did: such an event counts once.
        """
        emitted: defaultdict[tuple[List, str], list[EmittedEvent]] = defaultdict(list)
        for event in once(log):
            if event["event"] in STATION_EVENTS:
                key = ((event["brand"], event["venue_id"]), event["station_id"])
                emitted[key].append((event["event"], event["station"], event.get("updated_at")))
            elif event["event"] in ("venue.added", "venue.removed"):
                emitted[(event["brand"], None), event["venue_id"]].append((event["event"], event["venue"], None))
        faults = []
        for asked in self.lists:
            sights = self.sights(asked)
            for id_ in {id_ for sight in sights for id_ in sight.rows}:
                said = emitted.pop((asked, id_), [])
                fault = _compare(id_, sights, said, venue=asked[1] is None)
                if fault:
                    faults.append(f"{asked} {id_}: {fault}")
        faults += [f"{asked} {id_}: nobody ever saw it, and yet {said}" for (asked, id_), said in emitted.items()]
        return "\n".join(faults)

    def _note(self, asked: List, token: str, answer: Answer) -> Callable[[], None]:
        """Note an answer before it is sent, and return what takes that back; without a token it will never be sure."""
        rows, whole = _rows(answer) or (None, False)
        if rows is None or not (whole or asked[1]):  # A venue list that does not add up is believed by nobody.
            return lambda: None
        sight = Sight(self._clock.wall(), token, rows, whole)
        with self._lock:
            self._sights[asked].append(sight)
        return lambda: self._sights[asked].remove(sight)


def once(log: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a log without repeated events: the same, about the same, of the same observation."""
    kept: dict[Any, Mapping[str, Any]] = {}
    for number, event in enumerate(log):
        same = tuple(event.get(key) for key in ("event", "brand", "venue_id", "station_id", "observed_at"))
        kept.setdefault(same if "observed_at" in event else number, event)
    return list(kept.values())


class _HeardWire(Wire):
    """A wire with somebody who hears every answer: those that go over it whole, and those of which nobody knows."""

    def __init__(self, wire: Wire, hear: Callable[[Answer, bool], Callable[[], None]]) -> None:
        self._wire, self._hear = wire, hear
        self.write, self.wait, self.close, self.reset = wire.write, wire.wait, wire.close, wire.reset  # type: ignore[method-assign]

    def head(self, answer: Answer, length: int | None) -> bytes:
        self._hear(answer, False)  # noqa: FBT003 - it is written in some way of the fault's own
        return self._wire.head(answer, length)

    def send(self, answer: Answer) -> None:
        take_back = self._hear(answer, True)  # noqa: FBT003 - whole
        try:
            self._wire.send(answer)
        except OSError:
            take_back()
            raise


def _rows(answer: Answer) -> tuple[dict[str, Row], bool] | None:
    """Return the rows of a list by id and whether they add up, None where a poller cannot take the answer for one."""
    headers = answer.headers
    if answer.status != 200 or len(headers) > _MOST_HEADERS or max(map(len, headers.values())) > _LONGEST_HEADER:
        return None
    try:
        packed = headers.get("Content-Encoding") == "gzip"
        document = json.loads(gzip.decompress(answer.body) if packed else answer.body)
        rows = document["data"] if document["success"] else None
    except (ValueError, TypeError, KeyError, RecursionError, OSError, EOFError, zlib.error):
        return None
    if not isinstance(rows, list):
        return None
    found = {str(row["id"]): Row(**{name: row[name] for name in Row._fields if name in row}) for row in rows}
    return found, len(found) == len(rows) == document.get("total", len(rows))


def _compare(id_: str, sights: Iterable[Sight], emitted: Sequence[EmittedEvent], *, venue: bool) -> str | None:
    """Find a way in which a poller that saw this, of one station or venue, logged that; say where there is none.

    A way is what is remembered and what of that is stored after an answer, and how many of the events are logged by
    then. A client with another token goes on from what is stored.
    """
    ways: set[tuple[Memory | None, Memory | None, int]] = {(None, None, 0)}
    token = ""
    for sight in sights:
        if sight.token not in ("", token):
            token = sight.token
            ways |= {(stored, stored, done) for _, stored, done in ways}
        row = sight.rows.get(id_)
        if row is None and not sight.whole:
            continue
        after: set[tuple[Memory | None, Memory | None, int]] = set()
        for known, stored, done in ways:
            events = list(_events(known, row, venue=venue))
            right = 0
            while right < len(events) and emitted[done + right : done + right + 1] == [events[right]]:
                right += 1
            if right == len(events):
                new = _remember(known, row)
                after.add((new, new, done + right))
                if not sight.sure:  # logged from memory, and not stored
                    after.add((new, stored, done + right))
            if not sight.sure:  # never taken in; or logged so far, and then lost
                after.update((known, stored, done + some) for some in range(right + 1))
        if not after:
            furthest = max(done for _, _, done in ways)
            certainty = "surely" if sight.sure else "perhaps"
            return f"{certainty} seen as {row}, yet emitted {list(emitted[furthest : furthest + 4])}"
        ways = after
    furthest = max(done for _, _, done in ways)
    return None if furthest == len(emitted) else f"nobody saw why it emitted {list(emitted[furthest:])}"


def _remember(known: Memory | None, row: Row | None) -> Memory:
    if row is not None:
        return Memory(row)
    if known is None or known.row is None or known.missing:
        return Memory(None)
    return Memory(known.row, missing=1)


def _events(known: Memory | None, row: Row | None, *, venue: bool) -> Iterator[EmittedEvent]:
    """Return the events of a poller that knows this, None before it ever saw the list, and sees that."""
    what = "venue" if venue else "station"
    old = known.row if known else None
    if row is None:
        if known and old and known.missing:
            yield f"{what}.removed", old.name, old.updated_at
        return
    names = []
    if old is None:
        names += ["added"] if known else []
        names += [] if row.status else ["found_inactive"]
    elif not venue:
        names += _differences(old, row) or (["touched"] if old.updated_at != row.updated_at else [])
    for name in names:
        yield f"{what}.{name}", row.name, row.updated_at


def _differences(old: Row, new: Row) -> list[str]:
    names = {
        "activated" if new.status else "deactivated": old.status != new.status,
        "renamed": old.name != new.name,
        "kind_changed": old.type != new.type,
        "printing_enabled" if new.printable else "printing_disabled": old.printable != new.printable,
    }
    return [name for name, differs in names.items() if differs]
