"""Recording and sealing: a send is on record before it is tried, and a killed client spoils nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.chaos.history import Bounds, History, Isolation, Recorder, read, seal, send
from holdfast.chaos.history.database import Database
from holdfast.errors import HistoryError


def table(history: History, query: str) -> list[tuple[object, ...]]:
    with Database(Bounds()) as database:
        history.attach(database)
        return database.rows(query)


def test_what_was_recorded_is_in_the_sealed_history(tmp_path: Path) -> None:
    ticks = iter(range(100))
    with Recorder(tmp_path / "run", now=lambda: next(ticks)) as recorder:
        operation = recorder.invoke("p/0", "txn", [send("x", 1, key="k")])
        operation.ok(
            [send("x", 1, key="k", offset=7), read("y", 5, offset=3)],
            isolation=Isolation.UNCOMMITTED,
            assigned=["x"],
            rebalanced=["y"],
        )
        recorder.invoke("p/0", "send", [send("x", 2)]).fail("too large")
    history = seal(tmp_path / "run", tmp_path / "history")
    assert table(history, "SELECT * FROM operations ORDER BY op") == [
        (1, "p/0", "txn", 1, 2, "ok", None, "read_uncommitted"),
        (2, "p/0", "send", 3, 4, "fail", "too large", "read_committed"),
    ]
    assert table(history, 'SELECT op, kind, log, key, value, "offset" FROM steps ORDER BY op, step') == [
        (1, "send", "x", "k", 1, 7),
        (1, "read", "y", None, 5, 3),
        (2, "send", "x", None, 2, None),
    ]
    assert sorted(table(history, "SELECT * FROM marks")) == [(1, "assigned", "x"), (1, "rebalanced", "y")]
    assert history.operations == 2


def test_positions_that_moved_are_told_whatever_the_outcome(tmp_path: Path) -> None:
    """A transaction that a rebalance ended has failed, and its reads went back all the same."""
    with Recorder(tmp_path / "run") as recorder:
        recorder.invoke("p", "txn").fail("rebalanced", [read("x", 1)], rebalanced=["x"])
        recorder.invoke("p", "subscribe").unknown("timed out", assigned=["x"], sought=["x"])
    history = seal(tmp_path / "run", tmp_path / "history")
    assert sorted(table(history, "SELECT * FROM marks")) == [
        (1, "rebalanced", "x"),
        (2, "assigned", "x"),
        (2, "sought", "x"),
    ]


def test_a_send_that_was_named_and_not_answered_is_kept(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run") as recorder:
        operation = recorder.invoke("p", "txn", [send("x", 1)])
        operation.tries([send("x", 2)])
        operation.tries([send("x", 3)])
        operation.unknown("the commit timed out", [read("y", 9, offset=4), send("x", 1, offset=0)])
    rows = table(seal(tmp_path / "run", tmp_path / "history"), "SELECT kind, value FROM steps ORDER BY step")
    assert rows == [("read", 9), ("send", 1), ("send", 2), ("send", 3)]


def test_many_clients_record_into_one_history(tmp_path: Path) -> None:
    for number in range(12):
        with Recorder(tmp_path / "run", f"client-{number}") as recorder:
            recorder.invoke(f"client-{number}", "send", [send("x", number)]).ok(
                [send("x", number, offset=number)]
            )
    rows = table(
        seal(tmp_path / "run", tmp_path / "history"), "SELECT count(DISTINCT op), max(op) FROM operations"
    )
    assert rows == [(12, 11_000_000_001)]


KILLED = """
import os, signal, sys
from pathlib import Path
from holdfast.chaos.history import Recorder, send
recorder = Recorder(Path(sys.argv[1]), "victim")
recorder.invoke("victim/0", "send", [send("x", 1)]).ok([send("x", 1, offset=0)])
recorder.invoke("victim/0", "send", [send("x", 2)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_client_that_is_killed_leaves_an_operation_of_unknown_outcome(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "run")], env=os.environ, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    with Recorder(tmp_path / "run", "survivor") as recorder:
        recorder.invoke("survivor/0", "poll").ok([read("x", 1, offset=0)])
    history = seal(tmp_path / "run", tmp_path / "history")
    assert sorted(table(history, "SELECT process, outcome, ended IS NULL FROM operations")) == [
        ("survivor/0", "ok", False),
        ("victim/0", "ok", False),
        ("victim/0", "unknown", True),
    ]
    assert table(history, "SELECT value FROM steps JOIN operations USING (op) WHERE outcome = 'unknown'") == [
        (2,)
    ]
    assert history.unknown_sends == 1


@pytest.mark.parametrize("torn", [b'{"e":"ok","op":1,"ti', b'{"e":"ok","op":1,"time":5,"steps":[]}'])
def test_a_torn_last_line_is_left_out(torn: bytes, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run")
    recorder.invoke("p", "send", [send("x", 1)])
    recorder.close()
    with recorder.path.open("ab") as file:
        file.write(torn)
    history = seal(tmp_path / "run", tmp_path / "history")
    assert table(history, "SELECT outcome FROM operations") == [("unknown",)]
    assert recorder.path.read_bytes().endswith(torn), "a recording is evidence, and stays as it is"


def test_a_recording_without_one_whole_line_is_empty(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "x.recording.jsonl").write_bytes(b'{"e":"start"')
    with Recorder(tmp_path / "run") as recorder:
        recorder.invoke("p", "crash").unknown("crashed")
    assert seal(tmp_path / "run", tmp_path / "history").operations == 1


def test_a_recording_that_is_damaged_elsewhere_is_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run") as recorder:
        recorder.write(b'{"e":"invoke","op":1,\n')
        recorder.invoke("p", "crash").unknown("crashed")
    with pytest.raises(HistoryError, match=r"damaged.*"):
        seal(tmp_path / "run", tmp_path / "history")
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "no half of a history stays behind"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b'{"e":"start","version":9,"time":0}\n', "of version 9, and 1 is read here"),
        (b'{"e":"begin"}\n', "with a line 'begin'"),
        (b'{"e":"ok","op":1,"time":1}\n{"e":"fail","op":1,"time":2}\n', "operation 1 ends more than once"),
        (b'{"e":"ok","op":1,"time":1}\n', "operation 1 ends, and never began"),
        (b'{"e":"invoke","op":1,"time":1,"process":"p"}\n', "operation 1 has no process or action"),
        (
            b'{"e":"invoke","op":1,"time":9,"process":"p","action":"poll"}\n{"e":"ok","op":1,"time":1}\n',
            "operation 1 ended before it began",
        ),
        (
            b'{"e":"invoke","op":1,"time":9,"process":"p","action":"send","steps":[{"k":"send","v":1}]}\n',
            "a step of operation 1 is neither a send nor a read",
        ),
    ],
)
def test_what_is_no_recording_is_refused(lines: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "x.recording.jsonl").write_bytes(lines)
    with pytest.raises(HistoryError, match=told):
        seal(tmp_path / "run", tmp_path / "history")


def test_no_recordings_and_a_place_that_is_taken_are_told(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="there are no recordings"):
        seal(tmp_path, tmp_path / "history")
    with Recorder(tmp_path / "run") as recorder:
        recorder.invoke("p", "crash").unknown("crashed")
    with pytest.raises(HistoryError, match="exists: a sealed history is never changed"):
        seal(tmp_path / "run", tmp_path)


def test_what_is_no_sealed_history_is_told(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="is no sealed history"):
        _ = History(tmp_path).operations
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(HistoryError, match="has format 99"):
        _ = History(tmp_path).operations
    (tmp_path / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(HistoryError, match=r"operations\.parquet cannot be read"):
        table(History(tmp_path), "SELECT 1")


def test_an_operation_ends_once(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run") as recorder:
        operation = recorder.invoke("p", "send", [send("x", 1)])
        operation.ok()
        with pytest.raises(HistoryError, match="ended twice"):
            operation.fail("late")


def test_faults_samples_and_rows_are_sealed_too(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run", now=lambda: 50) as recorder:
        recorder.fault("kill", "broker-1", 10, None, "its process is gone")
        recorder.event("lag", {"orders-0": 12})
        recorder.row("inputs", topic="t", partition=0, offset=1, key=None, value={"n": [1, 2]})
        recorder.row("postings", position=1, account="a", transfer="t1", amount=-5, balance=95)
    history = seal(tmp_path / "run", tmp_path / "history", about={"seed": 7})
    assert table(
        history, "SELECT time, kind, data->>'name', data->>'evidence' FROM events ORDER BY time"
    ) == [
        (10, "fault", "kill", "its process is gone"),
        (50, "lag", None, None),
    ]
    assert table(history, "SELECT topic, \"offset\", key, value->>'$.n[1]' FROM inputs") == [
        ("t", 1, None, "2")
    ]
    assert table(history, "SELECT amount, balance FROM postings") == [(-5, 95)]
    assert history.manifest["about"] == {"seed": 7}


def test_a_row_of_no_table_or_with_other_columns_is_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run") as recorder:
        with pytest.raises(HistoryError, match="no rows in 'steps'"):
            recorder.row("steps", op=1)
        with pytest.raises(HistoryError, match="has the columns position, account"):
            recorder.row("postings", position=1)


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(HistoryError, match="no history can be recorded in"):
        Recorder(tmp_path / "run")


def on_a_full_disk(recorder: Recorder) -> None:
    """Let all that this recorder writes go to a disk without a free byte."""
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, recorder._file)
    os.close(full)


def half_a_line(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk take half of a line, which is told."""
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, line: write(file, line[: len(line) // 2]))
        with pytest.raises(HistoryError, match="took a part of a line only; the history ends here"):
            recorder.event("lag", {"orders-0": 12})


def test_a_full_disk_ends_the_recording_with_a_word(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run")
    on_a_full_disk(recorder)
    for _ in range(2):
        with pytest.raises(HistoryError, match="No space left on device; the history ends here"):
            recorder.write(b"{}\n")
    recorder.close()


def test_after_half_a_line_other_threads_are_told_and_touch_no_file_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of a file that was closed is soon that of another file, or of a socket."""
    recorder = Recorder(tmp_path / "run")
    half_a_line(recorder, monkeypatch)
    with (tmp_path / "other").open("wb") as other:
        with pytest.raises(HistoryError, match="took a part of a line only; the history ends here"):
            recorder.invoke("p", "send", [send("x", 1)])
        recorder.close()
        other.write(b"of somebody else")
    assert (tmp_path / "other").read_bytes() == b"of somebody else"


def test_what_was_recorded_before_half_a_line_is_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recorder(tmp_path / "run") as recorder:
        recorder.invoke("p", "send", [send("x", 1)]).ok()
        operation = recorder.invoke("p", "send", [send("x", 2)])
        half_a_line(recorder, monkeypatch)
        with pytest.raises(HistoryError, match="the history ends here"):
            operation.ok()
    history = seal(tmp_path / "run", tmp_path / "history")
    assert table(history, "SELECT outcome FROM operations ORDER BY op") == [("ok",), ("unknown",)]


def test_a_recorder_that_is_closed_says_so_and_may_be_closed_again(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run")
    recorder.close()
    with (tmp_path / "other").open("wb") as other:
        recorder.close()
        with pytest.raises(HistoryError, match=r"recording\.jsonl: it is closed"):
            recorder.event("lag", {"orders-0": 12})
        other.write(b"of somebody else")
    assert (tmp_path / "other").read_bytes() == b"of somebody else"
