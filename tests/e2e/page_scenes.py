"""The states of the page: how each is brought about, and what it has to say and must not say."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from harness import Exporter, configuration
from past import DAY, HOUR, MINUTE, Happened, lived_through

from exporter.clock import Clock
from exporter.model import StationRecord
from exporter.simulator import Simulator, World
from exporter.store.sqlite import SQLiteStore

BRAND = "openapitest"
TIMEOUT = 120.0
"""Seconds that scenes may take to set up while the browser and other scenes keep the machine busy."""

LONG = "Nərimanov rayonu Atatürk prospekti ticarət mərkəzinin beşinci mərtəbəsindəki restoran zəncirinin ikinci zalı"
HOSTILE = "<script>alert(1)</script>\"' onmouseover=x {{ 7*7 }} \u202eevil\u202c \u200b\U0001f37d"
UNBROKEN = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2


class View(NamedTuple):
    """A page of a scene, the words that must be on it, and those that must not."""

    name: str
    says: Sequence[str]
    never: Sequence[str] = ()
    path: str = "/"


class Stage:
    """A scene that is set up: a simulated Clopos and the real process before it."""

    def __init__(self, scene: Scene, folder: Path, closing: ExitStack) -> None:
        self.folder = folder
        folder.mkdir()
        world = scene.world(folder)
        self.simulator = closing.enter_context(Simulator(world, tiers=None))
        self.world = world
        self.brand = next(iter(world.brands), "")
        scene.before(self)
        config = configuration(self.simulator, **{"incidents": {"delay": "1s"}, **scene.settings(self)})
        for section in config["brands"]:
            section.update(scene.brand_settings)
            if scene.opens_in is not None:
                section["opening_hours"] = hours(scene.opens_in)
        self.config = config
        self.exporter = scene.exporter(folder, config, scene.flags)
        closing.callback(self.exporter.kill)
        self.exporter.start(TIMEOUT)
        if scene.read:
            venues = sum(len(world.venues(brand)) for brand in world.brands)
            self.exporter.until_ready(venues, seconds=TIMEOUT)
        scene.after(self)

    def off(self, venue: str, *stations: str) -> None:
        """Switch stations off, all of the venue where none is named."""
        for row in self.world.stations(self.brand, venue):
            if not stations or str(row["id"]) in stations:
                self.world.set_status(self.brand, venue, str(row["id"]), 0)


def nothing(_: Stage) -> None:
    """Leave all as it is."""


@dataclass(frozen=True)
class Scene:
    """What happens before and after the process has read its venues, and what is seen then.

    `settings` are of the configuration, `brand_settings` of each brand in it. `opens_in` is counted from when it is set
    up. `slow` needs more than a minute.
    """

    views: Sequence[View]
    world: Callable[[Path], World] = lambda _: World.generate(venues=3, stations=8, seed=4)
    settings: Callable[[Stage], Mapping[str, Any]] = lambda _: {}
    brand_settings: Mapping[str, Any] = field(default_factory=dict)
    opens_in: timedelta | None = None
    before: Callable[[Stage], object] = nothing
    after: Callable[[Stage], object] = nothing
    exporter: Callable[[Path, Mapping[str, Any], Sequence[str]], Exporter] = lambda folder, config, flags: Exporter(
        folder, config, flags=flags
    )
    flags: Sequence[str] = ()
    read: bool = True
    slow: bool = False
    lost: bool = False


class FullDisk(Exporter):
    """An exporter whose log goes where nothing can be written."""

    def __init__(self, folder: Path, config: Mapping[str, Any], flags: Sequence[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        super().__init__(folder, config, flags=[*flags, f"--web.listen-address=127.0.0.1:{self._port}"])
        self._arguments.remove("--web.listen-address=127.0.0.1:0")
        self.log_file.touch()

    def launch(self) -> None:
        with Path("/dev/full").open("wb") as full, self.error_file.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *self.PROGRAM, *self._arguments],
                stdin=subprocess.DEVNULL, stdout=full, stderr=errors, env=self._env, cwd=self.folder,
            )  # fmt: skip

    def _listening(self, _: int) -> str | None:
        try:
            socket.create_connection(("127.0.0.1", self._port), 1).close()
        except OSError:
            return None
        return f"http://127.0.0.1:{self._port}"


def hours(opens_in: timedelta) -> str:
    """Return opening hours of an hour a day that begin some time from now, in UTC."""
    opens = datetime.now(UTC) + opens_in
    return f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"


def named(*names: str) -> Callable[[Path], World]:
    """Return a world of venues with these names, each with a station of the same name that is off."""

    def world(_: Path) -> World:
        made = World.generate(venues=0)
        for name in names:
            venue = made.add_venue(BRAND, name)
            made.add_station(BRAND, venue, name, status=0, type=1)
            made.add_station(BRAND, venue, name, type=0)
        return made

    return world


def watched(folder: Path, *, venues: int = 3, stations: int = 8, happened: Sequence[Happened] = ()) -> World:
    """Return a world that an exporter has watched for a month, by its state file."""
    return lived_through(happened, folder / "state.db", venues=venues, stations=stations)


def off_for_weeks(folder: Path) -> World:
    """Return a world with a station that has been off for 20 days of opening hours."""
    world = watched(folder, happened=(Happened(20 * DAY, "1", "1", 0),))
    store = SQLiteStore(folder / "state.db", Clock(), 90 * DAY)
    (state,) = (state for state in store.venues() if state.venue.id == "1")
    record = StationRecord(inactive_from=0.0, unexcused_from=0.0)
    store.commit(replace(state, open_seconds=20 * DAY, records={"1": record}))
    store.close()
    return world


def with_state(stage: Stage) -> Mapping[str, Any]:
    return {"state": {"path": str(stage.folder / "state.db")}}


def clopos_is_down(stage: Stage) -> None:
    stage.off("1", "1")
    stage.exporter.until_value(1, "clopos_incident", station_id="1", venue_id="1")
    stage.simulator.faults.add("unavailable")


def clopos_is_down_for_long(stage: Stage) -> None:
    clopos_is_down(stage)
    stage.exporter.until_value(None, "clopos_stations", venue_id="1", kind="kitchen")


def refuse_a_reload(stage: Stage) -> None:
    stage.exporter.configure("brands: [")
    assert stage.exporter.reload().status == HTTPStatus.BAD_REQUEST


def everything_of_the_process_is_broken(stage: Stage) -> None:
    stage.off("1", "1")
    refuse_a_reload(stage)
    name = "clopos_exporter_notification_channel_up"
    stage.exporter.until(lambda: stage.exporter.metrics(name).value(name) == 0, "a dead channel", seconds=2 * TIMEOUT)


def hundred_off(stage: Stage) -> None:
    for venue in stage.world.venues(stage.brand):
        stage.off(venue, "1", "2", "3", "4", "5")


def flap(stage: Stage) -> None:
    for number in range(8):
        stage.world.set_status(stage.brand, "1", "1", number % 2)
        stage.exporter.until_value(number % 2, "clopos_station_active", venue_id="1", station_id="1")


def stop_printing(stage: Stage) -> None:
    station = next(str(row["id"]) for row in stage.world.stations(stage.brand, "1") if row["printable"])
    stage.world.edit(stage.brand, "1", station, printable=0)


def break_the_state(stage: Stage) -> None:
    (stage.folder / "state.db").mkdir()


def lose(*venues: str, kind: str = "not_found") -> Callable[[Stage], None]:
    def lost(stage: Stage) -> None:
        for venue in venues:
            stage.simulator.faults.add(kind, endpoint="stations", venue=venue)

    return lost


NOW_WRONG = ("Problems now", "Orders for it", "0 / 0", "Nothing is wrong", "Every station is active")
VENUE = f"/venue?brand={BRAND}&venue_id=1"
PAST = (
    Happened(5 * DAY, "1", "1", 0),
    Happened(5 * DAY - 2 * HOUR, "1", "1", 1),
    Happened(21 * HOUR, "1", "1", 0),
    Happened(20 * HOUR, "1", "1", 1),
    Happened(25 * MINUTE, "1", "1", 0),
)

SCENES: dict[str, Scene] = {
    "broken": Scene(
        slow=True,
        settings=lambda stage: {
            **with_state(stage),
            "notifications": {"group_wait": "1s", "channels": [{"name": "shift", "url": "json://127.0.0.1:9"}]},
        },
        before=break_the_state,
        after=everything_of_the_process_is_broken,
        exporter=FullDisk,
        views=[
            View(
                "broken",
                [
                    "The new configuration has errors and is not in force",
                    "The state has not been writable since",
                    "The log has not been writable since",
                    "Messages to the channel shift have not been delivered since",
                    "1 kitchen station is inactive",
                ],
                ["Nothing is wrong"],
            )
        ],
    ),
    "first-seconds": Scene(
        world=lambda _: World.generate(venues=20, stations=4, seed=4),
        brand_settings={"requests_per_minute": 5},  # a poll every 12 s
        read=False,
        views=[
            View("first-seconds", ["of 20 venues read so far", "Not read yet"], ["Nothing is wrong", "0 / 0"]),
            View(
                "venue-first-seconds",
                ["Waiting for the first answer of Clopos"],
                NOW_WRONG,
                VENUE.replace("venue_id=1", "venue_id=20"),
            ),
        ],
    ),
    "calm": Scene(
        brand_settings={"back_office_url": "https://back-office.example", "time_zone": "Asia/Baku"},
        views=[
            View("calm", ["Nothing is wrong", "Every station that should get orders is active", "3 venues"]),
            View("calm-only-with-trouble", ["No venue has a problem now."], ["No venue or"], "/?show=troubles"),
            View("search-without-result", ["No venue or station has this name."], (), "/?q=zzz"),
            View("venue-calm", ["Every station is active in Clopos.", "Open Clopos"], ["Problems now"], VENUE),
            View("changes-none", ["Nothing has changed since this exporter started."], (), "/changes"),
            View("venue-missing", ["No such venue"], (), "/venue?brand=x&venue_id=1"),
        ],
    ),
    "one-off": Scene(
        brand_settings={"back_office_url": "https://back-office.example", "time_zone": "Asia/Baku"},
        after=lambda stage: stage.off("1", "1"),
        views=[
            View(
                "one-off",
                [
                    "1 kitchen station is inactive",
                    "Inactive in Clopos since",
                    "Orders for it do not reach the kitchen.",
                    "Clopos does not say who did that; last edited",
                    "Open Clopos",
                ],
                ["Nothing is wrong", "Inactive in Clopos for at least", "offline", "purpose"],
            ),
            View("venue-one-off", ["1 kitchen station is inactive", "Open Clopos", "inactive 1 time"], ["UTC"], VENUE),
            View(
                "changes-filtered",
                ["inactive in Clopos, had been active for at least"],
                (),
                "/changes?kind=kitchen&event=status",
            ),
            View("changes-filtered-none", ["No such change is known."], (), "/changes?kind=other&event=status"),
        ],
    ),
    "found-off": Scene(
        before=lambda stage: stage.off("1", "1"),
        views=[View("found-off", ["Inactive in Clopos for at least"], ["Inactive in Clopos since"])],
    ),
    "printing-off": Scene(
        after=stop_printing, views=[View("printing-off", ["Prints no tickets since"], NOW_WRONG[3:])]
    ),
    "unclear": Scene(
        after=lambda stage: stage.world.serve_raw(
            stage.brand, "1", "1", '{"id": 1, "name": "Grill", "status": 7, "type": 1, "printable": 1}'
        ),
        views=[View("unclear", ["Clopos gives a status that is neither active nor inactive."], ["Inactive in Clopos"])],
    ),
    "flapping": Scene(
        after=flap,
        views=[View("flapping", ["Repeatedly switched off and on in Clopos."], ["Nothing is wrong"])],
    ),
    "venue-all-off": Scene(
        after=lambda stage: stage.off("1"),
        views=[
            View("venue-all-off", ["all 8 stations are inactive", "No order reaches anybody."], ["Nothing is wrong"]),
            View("venue-all-off-itself", ["all 8 stations are inactive"], ["Nothing is wrong"], VENUE),
        ],
    ),
    "hundred-off": Scene(
        world=lambda _: World.generate(venues=20, stations=8, seed=4),
        after=hundred_off,
        views=[
            View(
                "hundred-off",
                [
                    "100 stations are inactive, 20 venues",
                    "Stations of many venues are inactive",
                    "100 stations one by one",
                ],
                ["Nothing is wrong"],
            )
        ],
    ),
    "before-opening": Scene(
        before=lambda stage: stage.off("1", "1"),
        brand_settings={"time_zone": "UTC"},
        opens_in=timedelta(minutes=20),
        views=[
            View("before-opening", ["1 station is not ready for opening", "Not ready for opening at"], NOW_WRONG[3:]),
            View("venue-before-opening", ["1 station is not ready for opening", "closed until"], NOW_WRONG[3:], VENUE),
        ],
    ),
    "closed": Scene(
        before=lambda stage: stage.off("1", "1"),
        brand_settings={"time_zone": "UTC"},
        opens_in=timedelta(hours=5),
        views=[
            View(
                "closed",
                ["Inactive, not alerting now: closed until", "No station needs attention now."],
                ["Problems now"],
            )
        ],
    ),
    "ignored": Scene(
        before=lambda stage: stage.off("1", "1"),
        brand_settings={"time_zone": "UTC", "ignore_stations": [{"station": "1", "until": "2099-12-31"}]},
        views=[
            View("ignored", ["Inactive, not alerting now: ignored until Dec 31, 2099"], ["purpose", "Problems now"])
        ],
    ),
    "retired": Scene(
        world=off_for_weeks,
        settings=with_state,
        views=[
            View(
                "retired",
                ["Inactive, not alerting now: retired, inactive for more than a week of opening hours."],
                ["Problems now", "purpose"],
            )
        ],
    ),
    "reload-refused": Scene(
        after=refuse_a_reload,
        views=[
            View(
                "reload-refused",
                ["The exporter itself needs attention", "The new configuration has errors and is not in force"],
                ["Nothing is wrong"],
            )
        ],
    ),
    "down-fresh": Scene(
        after=clopos_is_down,
        views=[
            View(
                "down-fresh",
                ["Clopos has been answering with errors since", "Known before, not confirmed now"],
                NOW_WRONG,
            ),
            View("venue-down-fresh", ["No new data since", "when it was last seen"], NOW_WRONG, VENUE),
        ],
    ),
    "down-stale": Scene(
        settings=lambda _: {"stale_after": "1s"},
        after=clopos_is_down_for_long,
        views=[
            View(
                "down-stale",
                ["Clopos has been answering with errors since", "Was inactive in Clopos when it was last seen"],
                NOW_WRONG,
            )
        ],
    ),
    "down-from-the-start": Scene(
        read=False,
        before=lambda stage: stage.simulator.faults.add("unavailable"),
        views=[
            View("down-from-the-start", ["Clopos has been answering with errors since"], [*NOW_WRONG, "What is below"])
        ],
    ),
    "login-failing": Scene(
        read=False,
        before=lambda stage: stage.simulator.faults.add("wrong_credentials", endpoint="auth"),
        views=[
            View("login-failing", ["The login of openapitest has been failing since", "Check client_id"], NOW_WRONG)
        ],
    ),
    "list-refused": Scene(
        after=lambda stage: stage.simulator.faults.add("forbidden", endpoint="venues"),
        views=[
            View(
                "list-refused", ["The list of venues of openapitest has not been readable since"], ["Nothing is wrong"]
            )
        ],
    ),
    "one-venue-lost": Scene(
        after=lose("2"),
        views=[
            View("one-venue-lost", ["No new data from", "Clopos does not know this venue"], ["has not answered since"])
        ],
    ),
    "two-venues-lost": Scene(
        world=lambda _: World.generate(venues=5, stations=4, seed=4),
        after=lose("2", "3"),
        views=[View("two-venues-lost", ["No new data from 2 of 5 venues since"], ["has not answered since"])],
    ),
    "past": Scene(
        world=lambda folder: watched(folder, happened=PAST),
        settings=with_state,
        views=[
            View("past", ["1 kitchen station is inactive", "inactive in Clopos, had been active for 19 hr"]),
            View("venue-week", ["inactive 3 times", "now"], (), f"{VENUE}&span=week"),
            View("venue-month", ["inactive 3 times"], (), f"{VENUE}&span=month"),
            View("changes-by-day", ["inactive in Clopos", "active again, was inactive for 2 hr"], (), "/changes"),
        ],
    ),
    "large": Scene(
        world=lambda folder: watched(folder, venues=100, stations=20, happened=PAST),
        settings=lambda stage: {**with_state(stage), "stale_after": "1h"},
        brand_settings={"requests_per_minute": 6},
        read=False,
        views=[View("large", ["of 100 venues read so far", "Showing 48 of 100 venues, worst first"], NOW_WRONG[3:])],
    ),
    "no-brands": Scene(
        flags=("--shard=1", "--total-shards=2"),
        read=False,
        views=[View("no-brands", ["No brand is configured", "No venue is known yet."], ["Nothing is wrong"])],
    ),
    "no-venues": Scene(
        world=lambda _: World.generate(venues=0),
        views=[View("no-venues", ["Clopos lists no venue"], ["Nothing is wrong", "Waiting for the first answer"])],
    ),
    "no-stations": Scene(
        world=lambda _: World.generate(venues=1, stations=0),
        views=[
            View("no-stations", ["No stations in Clopos"], ["0 / 0"]),
            View("venue-no-stations", ["No stations in Clopos"], (), VENUE),
        ],
    ),
    "names": Scene(
        world=named(LONG, UNBROKEN, HOSTILE, " "),
        views=[
            View("names", ["4 kitchen stations are inactive, 4 venues", "<script>alert(1)</script>"]),
            View("venue-names", ["1 kitchen station is inactive"], (), f"/venue?brand={BRAND}&venue_id=2"),
            View("changes-names", ["found inactive in Clopos"], (), "/changes"),
        ],
    ),
    "brands": Scene(
        world=lambda _: World.generate(brands=2, venues=2, stations=4, seed=4),
        after=lambda stage: stage.off("1", "1"),
        views=[View("brands", ["openapitest · kitchen", "tandir-group", "All brands"])],
    ),
    "exporter-gone": Scene(
        lost=True,
        views=[
            View(
                "exporter-gone",
                ["This page has had no answer since", "The data below is from then."],
                NOW_WRONG[3:],
            )
        ],
    ),
}
