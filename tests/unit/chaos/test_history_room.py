"""A history that DuckDB or the disk has no room for: told as that, with what to do, and never a traceback."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.chaos.checker import Options, check
from holdfast.chaos.checker.fold import Fold, check_fold_of
from holdfast.chaos.history import Bounds, History, Recorder, seal, send
from holdfast.chaos.history.database import Database
from holdfast.errors import HistoryError

SCARCE = Bounds(memory="10MB", threads=1)
"""Less than a handful of operations takes."""

NO_ROOM = r"Out of Memory Error: .*\. It may use 10MB of memory, and what is free in .*: make room there"
HUGE = "SELECT list(i) FROM range(50_000_000) r(i)"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Recordings of one send."""
    with Recorder(tmp_path / "recordings") as recorder:
        recorder.invoke("p", "send", [send("x", 1)]).ok([send("x", 1, offset=0)])
        recorder.row("inputs", topic="x", partition=0, offset=0, key="k", value=1)
    return tmp_path / "recordings"


@pytest.fixture
def history(tmp_path: Path, recordings: Path) -> History:
    """The history of one send."""
    return seal(recordings, tmp_path / "history")


@pytest.mark.parametrize(
    "ask",
    [
        lambda database: database.run(HUGE),
        lambda database: database.rows(HUGE),
        lambda database: database.number(HUGE),
        lambda database: list(database.stream(HUGE)),
    ],
    ids=["run", "rows", "number", "stream"],
)
def test_a_query_without_room_is_told_with_what_to_do(ask: Callable[[Database], object]) -> None:
    with Database(SCARCE) as database, pytest.raises(HistoryError, match=NO_ROOM) as told:
        ask(database)
    assert "\n" not in str(told.value)


def test_a_query_that_duckdb_refuses_is_told_in_its_words() -> None:
    with Database(SCARCE) as database, pytest.raises(HistoryError, match="Catalog Error: Table with name x"):
        database.rows("SELECT * FROM x")


def test_a_stream_gives_all_rows_in_their_order() -> None:
    with Database(Bounds()) as database:
        numbers = [number for (number,) in database.stream("SELECT i FROM range(25_000) r(i) ORDER BY i")]
    assert numbers == list(range(25_000))


def test_a_check_without_room_is_told(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever query it is that meets it."""
    monkeypatch.setattr("holdfast.chaos.checker.queries.QUERIES", {"duplicate": HUGE})
    with pytest.raises(HistoryError, match=NO_ROOM):
        check(history, Options(bounds=SCARCE))


def test_a_table_that_is_damaged_behind_its_names_is_told(history: History) -> None:
    """It can be attached then, and its rows cannot be read."""
    for path in history.folder.glob("*.parquet"):
        content = path.read_bytes()
        rows = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        path.write_bytes(content[:4] + bytes(rows - 4) + content[rows:])
    with pytest.raises(HistoryError):
        check(history)
    with pytest.raises(HistoryError):
        check_fold_of(history, Fold(0, lambda state, _: state))


def test_recordings_without_room_are_not_called_damaged(tmp_path: Path, recordings: Path) -> None:
    with pytest.raises(HistoryError, match=NO_ROOM):
        seal(recordings, tmp_path / "history", bounds=SCARCE)


def test_a_disk_that_takes_no_sealed_history_is_told(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HistoryError, match=r"history cannot be made: No space left on device"):
        seal(recordings, tmp_path / "history")
    assert [path.name for path in tmp_path.iterdir()] == ["recordings"], "no half of a history stays behind"


def test_a_place_where_nothing_can_be_made_is_told(tmp_path: Path, recordings: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match=r"file/history cannot be made: "):
        seal(recordings, tmp_path / "file" / "history")


def test_a_database_without_a_folder_for_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(HistoryError, match=f"no database can be made in {tmp_path}: No such file"):
        Database(Bounds())
