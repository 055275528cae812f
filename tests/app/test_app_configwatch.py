from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.app.configwatch import ConfigWatch


class Watched:
    """A watch over two files, and how often it reloaded."""

    def __init__(self, folder: Path) -> None:
        self.config, self.secret = folder / "clopos.yml", folder / "secret"
        self.files = [self.config, self.secret]
        for file in self.files:
            file.write_text("first")
        self.reloads = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self._watch = ConfigWatch(lambda: self.files, 1.0, self._reload)

    def looks(self, times: int = 2) -> int:
        """Look so many times, and return how often it has reloaded."""
        for _ in range(times):
            self._watch.look()
        return self.reloads

    def _reload(self) -> None:
        self.reloads += 1
        self.meanwhile()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_nothing_is_reloaded_while_nothing_changes(watched: Watched) -> None:
    assert watched.looks(5) == 0


def test_a_changed_file_is_reloaded_once_when_it_stays_as_it_is(watched: Watched) -> None:
    watched.secret.write_text("the second")
    assert watched.looks(1) == 0
    watched.secret.write_text("the second, whole")
    assert watched.looks(1) == 0
    assert watched.looks(1) == 1
    assert watched.looks(5) == 1


def test_a_file_that_is_removed_and_one_that_comes_are_changes(watched: Watched) -> None:
    watched.secret.unlink()
    assert watched.looks() == 1
    watched.secret.write_text("first")
    assert watched.looks() == 2


def test_what_is_written_during_a_reload_is_another_change(watched: Watched) -> None:
    watched.meanwhile = lambda: watched.config.write_text("the third")
    watched.config.write_text("the second")
    assert watched.looks() == 1
    watched.meanwhile = lambda: None
    assert watched.looks() == 2


def test_files_that_are_named_only_now_are_watched_from_now_on(watched: Watched, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("first")
    watched.meanwhile = lambda: watched.files.append(other)
    watched.config.write_text("the second")
    assert watched.looks() == 1
    other.write_text("the second")
    assert watched.looks() == 2


def test_a_mount_of_kubernetes_is_replaced_by_moving_a_link(tmp_path: Path) -> None:
    """As the kubelet does it: files are links into `..data`, which is a link to a folder that is replaced."""
    for number in ("1", "2"):
        tmp_path.joinpath(number).mkdir()
        for name in ("clopos.yml", "secret"):
            tmp_path.joinpath(number, name).write_text("same size")
    tmp_path.joinpath("..data").symlink_to("1")
    for name in ("clopos.yml", "secret"):
        tmp_path.joinpath(name).symlink_to(f"..data/{name}")
    reloads: list[None] = []
    watch = ConfigWatch(lambda: [tmp_path / "clopos.yml", tmp_path / "secret"], 1.0, lambda: reloads.append(None))
    tmp_path.joinpath("..new").symlink_to("2")
    tmp_path.joinpath("..new").rename(tmp_path / "..data")
    watch.look()
    watch.look()
    assert len(reloads) == 1


def test_a_reload_that_crashes_is_tried_again(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    class EndError(BaseException):
        """The end of the test's loop."""

    faults: list[BaseException] = [RuntimeError("can't start new thread"), EndError()]

    def crash() -> None:
        raise faults.pop(0)

    watched.meanwhile = crash
    monkeypatch.setattr("time.sleep", lambda _: None)
    watched.secret.write_text("the second")
    with pytest.raises(EndError), capture_logs() as logs:
        watched._watch.run()
    assert watched.reloads == 2
    assert [log["event"] for log in logs] == ["config.watch_crashed"]
