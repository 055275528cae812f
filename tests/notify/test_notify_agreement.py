"""A channel gets what the incidents say, over days of a brand's life, and nothing else."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from fakes import FakeClock
from history import History
from notify_fakes import FakeTransport, MemoryOutbox

from exporter.model import Change, Ended, Event, Topic
from exporter.notify.channel import ChannelSettings, ChannelWorker
from exporter.notify.messages import Renderer
from exporter.notify.plan import Form, Notice
from exporter.notify.transport import Message, Outcome
from exporter.outbox import IncidentKey, Route, key

MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Recorder(Renderer):
    """Keep what the newest message says, beside writing it."""

    newest: list[Notice] = field(default_factory=list)

    def render(self, notices: Sequence[Notice], now: float, length: int) -> Message:
        self.newest[:] = notices
        return Renderer.render(self, notices, now, length)


class Notified:
    """A brand's history, and a channel that follows it; `heard` is what it accepted, with the time."""

    def __init__(self, seed: int, faulty: float) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - runs have to repeat
        self.faulty = faulty
        self.history = History(venues=7, hours="Mo-Su 10:00-02:00", begin="2026-11-23T09:00")
        self.clock = FakeClock(wall=self.history.now.wall)
        self.outbox = MemoryOutbox([Route("shift", frozenset(Topic))])
        self.heard: list[tuple[float, Notice]] = []
        self.renderer = Recorder()
        self.restart()

    def restart(self) -> None:
        self.worker = ChannelWorker(
            ChannelSettings("shift", "", self.renderer),
            self.outbox,
            self.clock,
            transport=lambda _: self,  # type: ignore[arg-type,return-value]
        )

    message_length = FakeTransport.message_length

    def send(self, _: Message) -> Outcome:
        if self.chance.random() < self.faulty:
            return Outcome(accepted=False, problem="HTTP 500")
        self.heard += [(self.clock.wall(), notice) for notice in self.renderer.newest]
        return Outcome(accepted=True)

    def live(self, steps: int) -> None:
        history, chance = self.history, self.chance
        for _ in range(steps):
            venue, station = chance.choice(list(history.rows)), chance.choice("kb")
            match chance.random():
                case luck if luck < 0.4:
                    history.off(station, venue)
                case luck if luck < 0.8:
                    history.on(station, venue)
                case luck if luck < 0.84:
                    for each in history.rows:
                        history.off("k", each)
                case luck if luck < 0.88:
                    history.lose()
                case luck if luck < 0.94:
                    history.find()
                case luck if luck < 0.97:
                    history.restart()
                    self.restart()
            self.go_on(chance.choice([MINUTE, 5 * MINUTE, 20 * MINUTE]))
        history.find()
        for venue in history.rows:
            history.on("k", venue)
            history.on("b", venue)
        self.faulty = 0.0
        self.go_on(3 * HOUR)

    def go_on(self, seconds: float) -> None:
        """Let time pass, for the brand and the channel alike, half a minute at a time."""
        until = self.history.now.wall + seconds
        while self.history.now.wall < until:
            before = len(self.history.log)
            self.history.run(30.0)
            for at, change in self.history.log[before:]:
                self._advance(at)
                self.outbox.record([change], at)
            self._advance(self.history.now.wall)

    def _advance(self, until: float) -> None:
        while (wait := self.worker.step()) < until - self.clock.wall():
            self.clock.forward(max(wait, 0.001))
        self.clock.forward(max(0.0, until - self.clock.wall()))


@pytest.mark.parametrize("faulty", [0.0, 0.6])
@pytest.mark.parametrize("seed", range(2))
def test_a_channel_gets_what_the_incidents_say(seed: int, faulty: float) -> None:
    notified = Notified(seed, faulty)
    notified.live(60)
    decided: dict[IncidentKey, list[Change]] = defaultdict(list)
    for _, change in notified.history.log:
        assert change.incident
        decided[key(change.incident)].append(change)
    heard: dict[IncidentKey, list[tuple[float, Notice]]] = defaultdict(list)
    for at, notice in notified.heard:
        heard[key(notice.incident)].append((at, notice))
    assert heard.keys() <= decided.keys(), "invented"
    assert decided, "a quiet life proves nothing"
    for about, changes in decided.items():
        ended = changes[1].details["ended"] if len(changes) > 1 else None
        forms = [notice.form for _, notice in heard[about]]
        if forms[:1] == [Form.FIRING]:
            notified_end = ended not in (None, Ended.CLOSED, Ended.REPLACED)
            assert forms[1:] == [Form.RESOLVED] * notified_end, (about, ended)
        elif ended in (Ended.REPLACED, Ended.IGNORED, Ended.RETIRED):
            assert forms == []
        else:
            assert forms == [Form.PAST], (about, ended)
        if forms and not faulty:
            assert heard[about][0][0] - changes[0].observed_at <= 34.0, "the group wait, and a message just before"
    assert notified.outbox.deliveries("shift") == [row for row in notified.outbox.deliveries("shift") if not row.is_end]
    assert {Event.INCIDENT_FIRING, Event.INCIDENT_RESOLVED} == {change.event for _, change in notified.history.log}
