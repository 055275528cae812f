"""Simulated weeks: each channel gets what the incidents say."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pytest
from fakes import FakeClock
from notify_fakes import FakeTransport, MemoryOutbox
from test_weeks import DAY, Period, played

from exporter.model import Change, Ended, Topic
from exporter.notify.channel import ChannelSettings, ChannelWorker
from exporter.notify.messages import Renderer
from exporter.notify.plan import Form, Notice, Timing
from exporter.notify.transport import SPACING_SECONDS, Message, Outcome
from exporter.outbox import IncidentKey, Route, key

SEEDS = int(os.environ.get("WEEKS", "1"))
"""Three weeks each, calm and busy; the incidents themselves are tested over 24."""

ROUTES = (
    Route("shift"),
    Route("it", frozenset({Topic.SERVICE})),
    Route("all", frozenset(Topic)),
    Route("nizami", venues=frozenset({"1", "2", "3"})),
    Route("elsewhere", brands=frozenset({"other"})),
)
SILENT = (Ended.CLOSED, Ended.REPLACED)


@dataclass(frozen=True, slots=True)
class Recorder(Renderer):
    """Keep what the newest message says, beside writing it."""

    newest: list[Notice] = field(default_factory=list)

    def render(self, notices: Sequence[Notice], now: float, length: int) -> Message:
        self.newest[:] = notices
        return Renderer.render(self, notices, now, length)


class Phone:
    """Somebody who gets the messages of a channel; a share of the attempts fails."""

    message_length = FakeTransport.message_length

    def __init__(self, route: Route, outbox: MemoryOutbox, clock: FakeClock, faulty: float) -> None:
        self.route, self.clock, self.faulty = route, clock, faulty
        self.chance = random.Random(route.name)  # noqa: S311 - runs have to repeat
        self.heard: dict[IncidentKey, list[tuple[float, Notice]]] = defaultdict(list)
        self.renderer = Recorder()
        self._make: Callable[[], ChannelWorker] = lambda: ChannelWorker(
            ChannelSettings(route.name, "", self.renderer),
            outbox,
            clock,
            transport=lambda _: self,  # type: ignore[arg-type,return-value]
        )
        self.restart()

    def restart(self) -> None:
        self.worker = self._make()

    def send(self, _: Message) -> Outcome:
        if self.chance.random() < self.faulty:
            return Outcome(accepted=False, problem="HTTP 500")
        for notice in self.renderer.newest:
            self.heard[key(notice.incident)].append((self.clock.wall(), notice))
        return Outcome(accepted=True)


def deliver(log: Iterable[tuple[float, Change]], away: Iterable[Period], until: float, faulty: float) -> list[Phone]:
    """Let the channels follow a log, except while the process is away; return what each heard."""
    log = list(log)
    clock = FakeClock(wall=log[0][0])
    outbox = MemoryOutbox(ROUTES)
    phones = [Phone(route, outbox, clock, faulty) for route in ROUTES]
    stops: list[tuple[float, Change | Period]] = sorted(
        [*((at, change) for at, change in log), *((one.begin, one) for one in away)], key=lambda one: one[0]
    )

    def go_on(until: float) -> None:
        while (wait := min(phone.worker.step() for phone in phones)) < until - clock.wall():
            clock.forward(max(wait, 0.001))
        clock.forward(max(0.0, until - clock.wall()))

    for at, what in stops:
        go_on(at)
        if isinstance(what, Period):
            clock.forward(what.end - clock.wall())
            for phone in phones:
                phone.restart()
        else:
            outbox.record([what], at)
    for phone in phones:
        phone.faulty = 0.0
    go_on(max(clock.wall(), until) + DAY)
    return phones


def expected(phone: Phone, changes: Sequence[Change]) -> tuple[list[Form], ...]:
    """Return what a channel may say of an incident."""
    incident = changes[0].incident
    assert incident is not None
    if not phone.route.wants(incident):
        return ([],)
    if len(changes) == 1:
        return ([Form.FIRING],)
    ended = changes[1].details["ended"]
    sent = [Form.FIRING] if ended in SILENT else [Form.FIRING, Form.RESOLVED]
    late = [] if ended in (Ended.REPLACED, Ended.IGNORED, Ended.RETIRED) else [Form.PAST]
    return (sent, late)


@pytest.mark.slow
@pytest.mark.parametrize("faulty", [0.0, 0.5], ids=["accepting", "faulty"])
@pytest.mark.parametrize("busy", [False, True], ids=["calm", "busy"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_channel_gets_what_the_incidents_of_three_weeks_say(
    seed: int, capsys: pytest.CaptureFixture[str], *, busy: bool, faulty: float
) -> None:
    weeks = played(seed, busy=busy, days=21)
    decided: dict[IncidentKey, list[Change]] = defaultdict(list)
    for _, change in weeks.log:
        assert change.incident
        decided[key(change.incident)].append(change)
    phones = deliver(weeks.log, weeks.truth.restarts, weeks.truth.all.end, faulty)
    away = weeks.truth.restarts
    for phone in phones:
        assert phone.heard.keys() <= decided.keys(), "invented"
        for about, changes in decided.items():
            heard = phone.heard[about]
            allowed = expected(phone, changes)
            assert [notice.form for _, notice in heard] in allowed, (phone.route.name, about, changes[1:])
            if heard and not faulty:
                begun = changes[0].observed_at
                lost = sum(one.end - one.begin for one in away if one.begin - 60.0 <= begun <= one.end)
                waits = Timing().group_wait + SPACING_SECONDS + 1.0
                assert heard[0][0] - begun <= waits + lost, (phone.route.name, about)
    notices = {phone.route.name: sum(map(len, phone.heard.values())) for phone in phones}
    assert notices["elsewhere"] == 0
    assert all(count for name, count in notices.items() if name != "elsewhere"), "a quiet life proves nothing"
    with capsys.disabled():
        print(f"\n{'busy' if busy else 'calm'} weeks {seed}: {len(decided)} incidents, notices {notices}")  # noqa: T201
