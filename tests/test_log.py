from __future__ import annotations

import io
import json
import logging
import os
import re
import resource
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from fakes import until
from hypothesis import given
from hypothesis import strategies as st

from exporter import log
from exporter.clock import format_duration

NASTY = [
    "Təndir çörəyi, mətbəx №1 🔥",
    'says "hello" \\ and = more',
    "two\nlines\r\nand a\ttab",
    "separators \u2028 \u2029 \x85 end",
    "\x1b[31mred\x1b]0;title\x07 \x9b31m \x00 \x7f",
    "\u202egnihsif\u202c \u2066x\u2069",
    "\u200eleft \u200fright \u061carabic",
    "seen\U000e0001\U000e0068\U000e0069\U000e007f",
    "",
    " ",
    "null",
    "{}",
    "%s %d",
]
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
"""What turns the reading direction around, hides text or steers a terminal; a line may end."""
FORMATS = ("json", "logfmt", "console")
Read = Callable[[], str]


class Screen(io.TextIOWrapper):
    """A text stream as sys.stdout is one, which may claim to be a terminal and gives back what was written."""

    def __init__(self, *, terminal: bool = False) -> None:
        self.written = io.BytesIO()
        super().__init__(self.written, encoding="ascii")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def text(self) -> str:
        return self.written.getvalue().decode("utf-8")

    @property
    def lines(self) -> list[str]:
        return re.findall(r"(.*)\n", self.text)


def fail_with(error: Exception, **_local_values: str) -> None:
    raise error


def say_and_fail() -> None:
    structlog.get_logger().info("said")
    raise ZeroDivisionError


def read_logfmt(line: str) -> dict[str, str]:
    pairs = re.findall(r'(?:^| )([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s"=]*)(?= |$)', line)
    assert " ".join(f"{key}={value}" for key, value in pairs) == line
    return {key: json.loads(value) if value.startswith('"') else value for key, value in pairs}


@pytest.mark.parametrize("name", NASTY)
def test_json_gives_any_name_back_on_one_line(name: str) -> None:
    screen = Screen()
    log.configure("info", "json", screen)
    structlog.get_logger().info("station.renamed", station=name)
    assert len(screen.text.splitlines()) == 1
    assert not STEERING.search(screen.text)
    assert json.loads(screen.text)["station"] == name


@pytest.mark.parametrize("name", NASTY)
def test_logfmt_gives_any_name_back_on_one_line(name: str) -> None:
    screen = Screen()
    log.configure("info", "logfmt", screen)
    structlog.get_logger().info("station.renamed", station=name, previous="x")
    assert len(screen.text.splitlines()) == 1
    assert not STEERING.search(screen.text)
    fields = read_logfmt(screen.text.rstrip("\n"))
    assert (fields["station"], fields["previous"]) == (name, "x")


@pytest.mark.parametrize("name", NASTY)
def test_console_lets_no_name_steer_the_terminal(name: str) -> None:
    screen = Screen()
    log.configure("info", "console", screen)
    structlog.get_logger().info(name, station=name)
    logging.getLogger(name).warning("%s", name)
    assert not STEERING.search(screen.text)
    assert len(screen.lines) == 2


@given(st.text(st.characters()))
@pytest.mark.parametrize("fmt", ["json", "logfmt"])
def test_any_unicode_is_one_line_of_valid_utf_8(fmt: str, name: str) -> None:
    screen = Screen()
    log.configure("info", fmt, screen)
    structlog.get_logger().info("station.renamed", station=name)
    line = screen.text.rstrip("\n")
    station = (json.loads if fmt == "json" else read_logfmt)(line)["station"]
    assert station == re.sub("[\ud800-\udfff]", "\ufffd", name)


@pytest.mark.parametrize("fmt", FORMATS)
def test_letters_stay_readable_whatever_the_locale(fmt: str) -> None:
    screen = Screen()
    log.configure("info", fmt, screen)
    structlog.get_logger().info("station.renamed", station="Gəncə şöbəsi")
    assert "Gəncə şöbəsi" in screen.text


@pytest.mark.parametrize("fmt", FORMATS)
def test_half_a_character_does_not_cost_the_line(fmt: str) -> None:
    screen = Screen()
    log.configure("info", fmt, screen)
    structlog.get_logger().info("half \ud83d", station="half \udcff")
    assert screen.text.count("half") == 2


@pytest.mark.parametrize("fmt", ["json", "logfmt"])
def test_time_level_and_event_come_first(fmt: str) -> None:
    screen = Screen()
    log.configure("info", fmt, screen)
    structlog.get_logger().warning("venue.added", venue="Mərkəz")
    fields = (json.loads if fmt == "json" else read_logfmt)(screen.text.rstrip("\n"))
    assert list(fields) == ["timestamp", "level", "event", "venue"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", fields["timestamp"])
    assert (fields["level"], fields["event"]) == ("warning", "venue.added")


@pytest.mark.parametrize(
    ("value", "as_json", "as_logfmt"),
    [
        (float("nan"), None, "null"),
        (float("-inf"), None, "null"),
        (None, None, "null"),
        (True, True, "true"),
        (1.5, 1.5, "1.5"),
        ([1, "a"], [1, "a"], '[1,"a"]'),
        ([float("nan")], "[nan]", "[nan]"),
        ({("a", 1): 2}, "{('a', 1): 2}", "{('a', 1): 2}"),
        (b"bytes", "b'bytes'", "b'bytes'"),
    ],
)
def test_any_value_can_be_written(value: object, as_json: object, as_logfmt: str) -> None:
    screen = Screen()
    log.configure("info", "json", screen)
    structlog.get_logger().info("venue.added", value=value, venue="Mərkəz")
    assert json.loads(screen.text, parse_constant=pytest.fail)["value"] == as_json
    screen = Screen()
    log.configure("info", "logfmt", screen)
    structlog.get_logger().info("venue.added", value=value)
    assert read_logfmt(screen.text.rstrip("\n"))["value"] == as_logfmt


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warn", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_says_what_is_heard(level: str, heard: list[str]) -> None:
    screen = Screen()
    log.configure(level, "json", screen)
    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), name)("said")
    assert [json.loads(line)["level"] for line in screen.lines] == heard


def test_foreign_loggers_use_the_same_pipeline() -> None:
    screen = Screen()
    log.configure("info", "json", screen)
    logging.getLogger("apscheduler.scheduler").warning("Run time of job %r was missed", "poll\n7")
    line = json.loads(screen.text)
    assert list(line) == ["timestamp", "level", "event", "logger"]
    assert (line["level"], line["logger"]) == ("warning", "apscheduler.scheduler")
    assert line["event"] == "Run time of job 'poll\\n7' was missed"


@pytest.mark.parametrize(("level", "count"), [("info", 0), ("debug", 1)])
def test_the_information_of_foreign_loggers_is_for_debugging(level: str, count: int) -> None:
    screen = Screen()
    log.configure(level, "json", screen)
    logging.getLogger("urllib3.connectionpool").info("Starting new HTTPS connection")
    assert len(screen.lines) == count


def test_access_lines_of_the_server_are_off() -> None:
    screen = Screen()
    log.configure("debug", "json", screen)
    logging.getLogger("uvicorn.access").info("GET /metrics")
    assert screen.text == ""


def test_warnings_use_the_same_pipeline() -> None:
    screen = Screen()
    log.configure("info", "json", screen)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old habit", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    line = json.loads(screen.text)
    assert line["logger"] == "py.warnings"
    assert "DeprecationWarning: old habit" in line["event"]


@pytest.mark.parametrize("fmt", ["json", "logfmt"])
def test_a_traceback_is_one_field_on_one_line_without_local_values(fmt: str) -> None:
    screen = Screen()
    log.configure("info", fmt, screen)
    local = os.urandom(8).hex()
    try:
        fail_with(ValueError("bad\nvalue"), unused=local)
    except ValueError:
        structlog.get_logger().exception("poll.crashed")
        logging.getLogger("apscheduler").exception("Job raised")
    read = json.loads if fmt == "json" else read_logfmt
    for line in map(read, screen.lines):
        assert line["exception"].startswith("Traceback")
        assert "bad\nvalue" in line["exception"]
    assert len(screen.lines) == 2
    assert local not in screen.text


def test_console_is_for_people_with_local_time_and_names_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Baku")
    time.tzset()
    try:
        screen = Screen()
        log.configure("info", "console", screen)
        structlog.get_logger().warning(
            "station.deactivated",
            brand="tandir-group",
            venue_id="7",
            venue="Gəncə",
            station_id="12",
            station="Hot kitchen",
            kind="kitchen",
            observed_at="2026-11-20T19:30:00.000000Z",
            updated_at="2026-11-20T19:29:58.000000Z",
            previous_for_seconds=7260.5,
        )
        (line,) = screen.lines
        emitted, rest = datetime.fromisoformat(line[:19]), line[19:]
        assert abs(emitted - (datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=4))) < timedelta(minutes=1)
    finally:
        monkeypatch.undo()
        time.tzset()
    names = "Gəncə, Hot kitchen, tandir-group"
    assert rest == f" warning station.deactivated  {names}  kind=kitchen previous_for=2h 1m"
    assert len(line) <= 120


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0s"), (45.4, "45s"), (60, "1m"), (7260.5, "2h 1m"), (7201, "2h"), (90061, "1d 1h"), (3 * 86400, "3d")],
)
def test_a_duration_for_people_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_the_scheduler_does_not_log_the_times_of_its_own_clock() -> None:
    screen = Screen()
    log.configure("debug", "json", screen)
    logging.getLogger("apscheduler.scheduler").debug("Next wakeup is due at 2000-01-01")
    assert screen.text == ""


def test_console_writes_lists_in_plain_words() -> None:
    screen = Screen(terminal=False)
    log.configure("info", "console", screen)
    structlog.get_logger().info("heartbeat.withheld", problems=("brand a: data is too old", "channel it is down"))
    assert "problems=brand a: data is too old, channel it is down" in screen.text


def test_console_shows_a_traceback_on_lines_that_steer_nothing() -> None:
    screen = Screen()
    log.configure("info", "console", screen)
    try:
        fail_with(ValueError("\x1b[2J"))
    except ValueError:
        structlog.get_logger().exception("poll.crashed")
    assert "ValueError: \\x1b[2J" in screen.lines[-1]


def test_an_uncaught_exception_is_reported() -> None:
    screen = Screen()
    log.configure("info", "json", screen)
    error = ValueError("unforeseen")
    sys.excepthook(ValueError, error, None)
    line = json.loads(screen.text)
    assert (line["level"], line["event"]) == ("critical", "process.crashed")
    assert line["exception"] == "ValueError: unforeseen"


def test_an_interrupt_from_the_keyboard_is_not_a_crash(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    log.configure("info", "json", screen)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert screen.text == ""
    assert "KeyboardInterrupt" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "count"), [(ValueError("unforeseen"), 1), (SystemExit(), 0)])
def test_an_uncaught_exception_in_a_thread_is_reported(error: BaseException, count: int) -> None:
    screen = Screen()
    log.configure("info", "json", screen)

    def work() -> None:
        raise error

    thread = threading.Thread(target=lambda: _in_thread(work), name="poll-3")
    thread.start()
    thread.join()
    emitted = [(line["event"], line["thread"]) for line in map(json.loads, screen.lines)]
    assert emitted == [("thread.crashed", "poll-3")] * count


def _in_thread(work: Callable[[], None]) -> None:
    # pytest watches threading.excepthook itself; this hands the error to the hook that the log has set.
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the hook decides
        kind, trace = type(error), error.__traceback__
        hook = threading.excepthook
        hook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))


def test_the_format_follows_the_stream() -> None:
    screen, terminal = Screen(), Screen(terminal=True)
    for stream in (screen, terminal):
        log.configure(stream=stream)
        structlog.get_logger().info("said")
    assert json.loads(screen.text)["event"] == "said"
    assert terminal.text.endswith(" said\n")


def test_standard_output_is_where_the_log_goes(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    structlog.get_logger().info("said")
    assert json.loads(capsys.readouterr().out)["event"] == "said"


@pytest.mark.parametrize(("no_color", "colors"), [("", True), ("1", False)])
def test_a_terminal_has_colours_unless_set_otherwise(
    monkeypatch: pytest.MonkeyPatch, no_color: str, *, colors: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    screen = Screen(terminal=True)
    log.configure("info", None, screen)
    structlog.get_logger().info("said")
    assert ("\x1b[" in screen.text) is colors


def test_lines_of_many_threads_never_mix() -> None:
    screen = Screen()
    output = log.configure("info", "json", screen)

    def work(name: str) -> None:
        for _ in range(20):
            output.emit((logging.INFO, {"event": "said", "thread": name, "number": number}) for number in range(20))
            logging.getLogger("apscheduler").warning("between")

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in screen.lines]
    assert len(lines) == 4 * 20 * 21
    batched = [(line["thread"], line["number"]) for line in lines if line["event"] == "said"]
    assert all(batched[at : at + 20] == [(batched[at][0], n) for n in range(20)] for at in range(0, len(batched), 20))


def test_events_below_the_level_are_left_out() -> None:
    screen = Screen()
    output = log.configure("error", "json", screen)
    assert output.emit([(logging.INFO, {"event": "station.added"}), (logging.ERROR, {"event": "venue.lost"})])
    assert [json.loads(line)["event"] for line in screen.lines] == ["venue.lost"]


class Pipe:
    """A pipe as standard output, with a reader that may be slow, gone or not there yet."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        self.stream = os.fdopen(writing, "w")
        self.read = b""

    def drain(self) -> None:
        """Read everything until the other end is closed."""
        while data := os.read(self.reading, 65536):
            self.read += data

    @property
    def numbers(self) -> list[int]:
        return [json.loads(line)["number"] for line in self.read.splitlines()]


def emit_in_thread(output: log.Output, count: int) -> threading.Thread:
    events = [(logging.INFO, {"event": "said", "number": number, "filling": "x" * 200}) for number in range(count)]
    thread = threading.Thread(target=lambda: output.emit(events))
    thread.start()
    return thread


@pytest.mark.parametrize("blocking", [True, False])
def test_a_full_pipe_delays_events_and_tears_and_loses_none(*, blocking: bool) -> None:
    pipe = Pipe()
    os.set_blocking(pipe.stream.fileno(), blocking)
    output = log.configure("info", "json", pipe.stream)
    writer = emit_in_thread(output, 2000)
    writer.join(0.5)
    assert writer.is_alive(), "nobody reads, and 2,000 events are more than the pipe holds"
    reader = threading.Thread(target=pipe.drain)
    reader.start()
    writer.join(20)
    pipe.stream.close()
    reader.join(20)
    assert pipe.numbers == list(range(2000))


def test_nobody_waits_for_a_log_that_is_blocked_and_what_is_dropped_is_counted() -> None:
    pipe = Pipe()
    output = log.configure("info", "json", pipe.stream)
    output.start()
    began = time.monotonic()
    for number in range(2 * log._QUEUED_LINES):
        structlog.get_logger().info("said", number=number)
    assert time.monotonic() - began < 20
    reader = threading.Thread(target=pipe.drain)
    reader.start()
    output.stop(30.0)
    pipe.stream.close()
    reader.join(20)
    lines = [json.loads(line) for line in pipe.read.splitlines()]
    [dropped] = [line["count"] for line in lines if line["event"] == "log.lines_dropped"]
    assert len(lines) - 1 + dropped == 2 * log._QUEUED_LINES


def test_a_blocked_log_is_seen_and_given_up_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_BLOCKED_SECONDS", 0.1)
    pipe = Pipe()
    output = log.configure("info", "json", pipe.stream)
    assert output.up
    writer = emit_in_thread(output, 2000)
    until(lambda: not output.up)
    output.stop(0.1)
    writer.join(5)
    assert not writer.is_alive()
    os.close(pipe.reading)
    with suppress(OSError):
        pipe.stream.close()


def test_a_reader_that_is_gone_is_seen() -> None:
    pipe = Pipe()
    output = log.configure("info", "json", pipe.stream)
    os.close(pipe.reading)
    logging.getLogger("apscheduler").warning("nobody listens")
    writer = emit_in_thread(output, 1)
    until(lambda: not output.up)
    output.stop(0.1)
    writer.join(5)
    with suppress(OSError):
        pipe.stream.close()


def test_a_full_disk_delays_events_and_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_RETRY_SECONDS", 0.05)
    path = tmp_path / "events.log"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with path.open("w") as stream:
        output = log.configure("info", "json", stream)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_001, limits[1]))
        try:
            writer = emit_in_thread(output, 600)
            until(lambda: not output.up)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        writer.join(20)
        assert output.up
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == list(range(600))


def test_a_closed_stream_breaks_nothing() -> None:
    screen = Screen()
    log.configure("info", "json", screen)
    screen.close()
    logging.getLogger("apscheduler").warning("nobody listens")


def test_without_standard_output_standard_error_takes_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", screen)
    log.configure("info", "json")
    structlog.get_logger().info("said")
    assert len(screen.lines) == 1
    monkeypatch.setattr(sys, "stderr", None)
    output = log.configure("info", "json")
    structlog.get_logger().info("said")
    output._stream.close()


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("secret", ["s3cret-Value", 'qu"ote\\d', "şifrə-söz"])
def test_a_secret_is_masked_wherever_it_turns_up(fmt: str, secret: str) -> None:
    screen = Screen()
    output = log.configure("info", fmt, screen)
    output.mask([secret, "longer " + secret, "abc"])
    structlog.get_logger().error("brand.login_failed", message=f"bad {secret}!", brand="abc")
    logging.getLogger("urllib3").error("header %s", secret)
    try:
        fail_with(ValueError(secret))
    except ValueError:
        structlog.get_logger().exception("poll.crashed")
    assert secret not in screen.text
    assert json.dumps(secret, ensure_ascii=False)[1:-1] not in screen.text
    assert "***" in screen.text
    assert "abc" in screen.text


def test_secrets_of_an_earlier_configuration_stay_masked() -> None:
    screen = Screen()
    output = log.configure("info", "json", screen)
    output.mask(["first-secret"])
    output.mask(["second-secret"])
    structlog.get_logger().info("said", text="first-secret second-secret")
    assert json.loads(screen.text)["text"] == "*** ***"
