"""All channels together: threads, reload and the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from notify_fakes import FAILED, FakeTransport, MemoryOutbox, firing, incident, resolved

from exporter.clock import Clock
from exporter.model import Change
from exporter.notify.channel import FAILURES_UNTIL_DOWN, ChannelSettings, ChannelWorker
from exporter.notify.notifier import STOP_SECONDS, Notifier
from exporter.notify.plan import Timing
from exporter.notify.transport import Message, Outcome
from exporter.outbox import Route

AT_ONCE = Timing(group_wait=0.0)


def until(seen: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.005)


class Process:
    """A notifier on real threads, whose time runs fast."""

    def __init__(self) -> None:
        self.clock = Clock(speed=100.0)
        self.outbox = MemoryOutbox([Route("shift"), Route("it")])
        self.services = {"json://shift": FakeTransport(), "json://it": FakeTransport(), "json://new": FakeTransport()}
        self.notifier = Notifier(self.outbox, self.worker)

    def worker(self, channel: ChannelSettings) -> ChannelWorker:
        transport = self.services.__getitem__
        return ChannelWorker(channel, self.outbox, self.clock, transport=transport)  # type: ignore[arg-type]

    def apply(self, **urls: str) -> None:
        self.notifier.apply([ChannelSettings(name, url, timing=AT_ONCE) for name, url in urls.items()])

    def happens(self, *changes: Change) -> None:
        self.outbox.record(changes, self.clock.wall())
        self.notifier.wake()


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process()
    yield process
    process.notifier.stop()


def test_every_channel_gets_its_message(process: Process) -> None:
    process.apply(shift="json://shift", it="json://it")
    process.happens(firing(incident()))
    until(lambda: all(len(process.services[url].accepted) == 1 for url in ("json://shift", "json://it")))


def test_a_channel_that_hangs_delays_no_other_and_not_the_end(process: Process) -> None:
    began: list[Message] = []
    released = Event()

    def hang(message: Message) -> Outcome:
        began.append(message)
        released.wait(30.0)
        return FAILED

    process.services["json://shift"].send = hang  # type: ignore[method-assign]
    process.apply(shift="json://shift", it="json://it")
    process.happens(firing(incident()))
    until(lambda: began and process.services["json://it"].accepted)
    process.happens(resolved(incident(), process.clock.wall()))
    until(lambda: len(process.services["json://it"].accepted) == 2)
    before = time.monotonic()
    process.notifier.stop()
    assert time.monotonic() - before < STOP_SECONDS + 1.0
    released.set()


def test_a_flood_of_changes_does_not_make_a_channel_look_all_the_time(process: Process) -> None:
    looks = []
    look = process.outbox.deliveries
    process.outbox.deliveries = lambda channel: (looks.append(channel), look(channel))[1]  # type: ignore[func-returns-value,method-assign]
    process.apply(it="json://it")
    began = process.clock.monotonic()
    while process.clock.monotonic() - began < 20.0:
        process.notifier.wake()
    assert len(looks) <= 41


def test_a_channel_that_goes_down_works_again_by_itself(process: Process) -> None:
    process.services["json://it"].outcomes = [FAILED]
    process.apply(it="json://it")
    process.happens(firing(incident()))
    until(lambda: process.notifier.states()[0].up is False)
    (state,) = process.notifier.states()
    assert (state.name, state.up, state.queue_length) == ("it", False, 1)
    assert state.counts["retried"] >= FAILURES_UNTIL_DOWN
    process.services["json://it"].outcomes = [Outcome(accepted=True)]
    until(lambda: process.notifier.states()[0].up, 20.0)
    until(lambda: not process.notifier.states()[0].queue_length)
    (state,) = process.notifier.states()
    assert (state.up, state.queue_length) == (True, 0)


def test_a_reload_keeps_what_stays_the_same(process: Process) -> None:
    process.outbox.routes = [Route("shift")]
    process.apply(shift="json://shift")
    process.happens(firing(incident()))
    until(lambda: process.notifier.states()[0].counts["sent"] == 1)
    process.apply(shift="json://shift", it="json://it")
    assert [state.counts["sent"] for state in process.notifier.states()] == [1, 0]


def test_a_reload_drops_what_waits_for_a_channel_that_is_gone(process: Process) -> None:
    process.services["json://it"].outcomes = [FAILED]
    process.apply(shift="json://shift", it="json://it")
    process.happens(firing(incident()))
    until(lambda: process.notifier.states()[1].counts["retried"])
    process.apply(shift="json://shift")
    assert [state.name for state in process.notifier.states()] == ["shift"]
    assert process.outbox.deliveries("it") == []
    assert len(process.outbox.deliveries("shift")) == 1


def test_a_channel_with_a_new_address_delivers_there_what_waited(process: Process) -> None:
    process.services["json://it"].outcomes = [FAILED]
    process.apply(it="json://it")
    process.happens(firing(incident()))
    until(lambda: process.notifier.states()[0].counts["retried"])
    process.apply(it="json://new")
    until(lambda: len(process.services["json://new"].accepted) == 1)


def test_a_fault_of_ours_in_a_message_does_not_end_the_notifications(process: Process) -> None:
    def crash(_: Message) -> Outcome:
        process.services["json://it"].send = FakeTransport.send.__get__(process.services["json://it"])  # type: ignore[method-assign]
        raise KeyError("anything")

    process.services["json://it"].send = crash  # type: ignore[assignment,method-assign]
    process.apply(it="json://it")
    process.happens(firing(incident()))
    until(lambda: len(process.services["json://it"].accepted) == 1)


def test_a_channel_for_which_there_was_no_thread_gets_one_with_the_next_reload(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr("exporter.notify.channel.Thread.start", no_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            process.apply(shift="json://shift")
    process.apply(shift="json://shift")
    process.happens(firing(incident()))
    until(lambda: process.services["json://shift"].accepted)
