"""An outbox worker that is killed between claim, send and mark: nothing is missing, and twice is only around a kill."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fakes import FakeClock
from receivers import OK, Answer, Service

from exporter.journal import JournalQuery
from exporter.model import Event
from exporter.store.sqlite import SQLiteStore

KILLS = int(os.environ.get("KILLS", "40"))
ANSWERS: list[Answer] = [OK, OK, OK, OK, (500, {}), "close"]
BEGUN, ENDED, PAST = " has been inactive since ", " is active again", " was inactive from "
WHOLE = ([BEGUN, ENDED], [PAST])
"""What there is to say of an incident that is over."""


class Heard(NamedTuple):
    """A sentence that was accepted: in which life of the worker, and whether that life accepted anything after it."""

    life: int
    text: str
    is_last: bool


class Phone(Service):
    """A service that knows which life of the worker a message comes from."""

    def __init__(self) -> None:
        super().__init__()
        chance = random.Random(14)  # noqa: S311 - runs have to repeat
        self.answer = lambda: chance.choice(ANSWERS)
        self.accepted: list[tuple[int, list[str]]] = []

    def accept(self, path: str, body: dict[str, Any]) -> Answer:
        answer = self.answer()
        if answer == OK:
            several = body["title"][0].isdigit()
            lines = [line for line in body["message"].splitlines() if line.startswith("•")]
            self.accepted.append((int(path.strip("/")), lines if several else [body["title"]]))
        return answer

    def heard(self) -> dict[str, list[Heard]]:
        """Return the sentences about each station, in order."""
        last = {life: index for index, (life, _) in enumerate(self.accepted)}
        found: dict[str, list[Heard]] = defaultdict(list)
        for index, (life, lines) in enumerate(self.accepted):
            for line in lines:
                text = next(text for text in (BEGUN, ENDED, PAST) if text in line)
                name = line.removeprefix("• ").partition(text)[0]
                found[name].append(Heard(life, text, index == last[life]))
        return found


def is_sent_once(sentences: list[Heard]) -> bool:
    """Return whether it is sent as a whole once, without some last words of lives that were killed before the mark."""
    doubtful = [index for index, heard in enumerate(sentences) if heard.is_last]
    return any(
        [heard.text for index, heard in enumerate(sentences) if index not in left_out] in WHOLE
        for count in range(len(doubtful) + 1)
        for left_out in combinations(doubtful, count)
    )


@pytest.mark.slow
def test_a_worker_that_is_killed_at_any_moment_loses_nothing_and_repeats_only_what_a_kill_left_unmarked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = [sys.executable, str(Path(__file__).with_name("killed_worker.py"))]
    with Phone() as phone:
        done = subprocess.run(
            [*program, str(tmp_path), str(phone.port), str(KILLS), "14"],
            capture_output=True, text=True, timeout=60 + KILLS, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    store = SQLiteStore(tmp_path / "state.db", FakeClock(), 1e12)
    entries = store.journal(JournalQuery(limit=1_000_000))
    store.close()
    fired, over = (
        [str(entry.station) for entry in entries if entry.event is event]
        for event in (Event.INCIDENT_FIRING, Event.INCIDENT_RESOLVED)
    )
    assert len(fired) > KILLS
    assert sorted(fired) == sorted(set(over)), "the state lost a change"
    heard = phone.heard()
    assert heard.keys() == set(fired), "missing or invented"
    wrong = {name: sentences for name, sentences in heard.items() if not is_sent_once(sentences)}
    assert not wrong
    repeated = sum([one.text for one in sentences] not in WHOLE for sentences in heard.values())
    with capsys.disabled():
        print(  # noqa: T201 - it is asked for
            f"\n{KILLS} kills: {len(fired)} incidents in {len(phone.accepted)} messages, none missing; "
            f"{len(phone.seen) - len(phone.accepted)} were refused, {repeated} incidents were sent in part twice"
        )
