"""What undoes a fault outlives the program that began it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from holdfast.chaos.undo import journal as module
from holdfast.chaos.undo.actions import Action, Continue, Delete, Run, Thaw, Unmount, Write, depends
from holdfast.chaos.undo.guard import Guard
from holdfast.chaos.undo.journal import Journal
from holdfast.errors import FaultFailed


@pytest.fixture
def sleeper() -> Iterator[psutil.Popen]:
    """A process of the test's own."""
    with psutil.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def suspend(process: psutil.Popen) -> None:
    """Suspend a process, and see it suspended."""
    process.suspend()
    until(lambda: process.status() == psutil.STATUS_STOPPED)


def test_a_fault_is_written_down_before_it_begins_and_gone_when_it_is_undone(tmp_path: Path) -> None:
    path, ballast = tmp_path / "journal", tmp_path / "ballast"
    journal = Journal(path)
    entry = journal.begin("disk of broker-1 full", Delete(path=ballast))
    ballast.write_text("x")
    assert Journal(path).open_entries() == (entry,)
    journal.end(entry)
    assert not ballast.exists()
    assert Journal(path).open_entries() == ()


def test_faults_are_undone_in_the_reverse_order(tmp_path: Path) -> None:
    journal, file = Journal(tmp_path / "journal"), tmp_path / "clock"
    journal.begin("first", Write(path=file, text="as it was"))
    journal.begin("second", Write(path=file, text="as the first left it"))
    assert journal.undo_all() == ()
    assert file.read_text() == "as it was"
    assert journal.open_entries() == ()


def fifo(folder: Path) -> Path:
    """A file whose opening hangs, as anything does on a frozen file system."""
    path = folder / "fifo.new"
    os.mkfifo(path)
    return path.with_suffix("")


def test_one_that_hangs_keeps_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_FOR_S", 0.5)
    journal, file = Journal(tmp_path / "journal"), tmp_path / "file"
    file.touch()
    journal.begin("file", Delete(path=file))
    stuck = journal.begin("clock", Write(path=fifo(tmp_path), text="hangs"))
    began = time.monotonic()
    [failure] = journal.undo_all()
    assert time.monotonic() - began < 5.0
    assert failure == "clock is not undone after 0.5 s: it hangs"
    assert not file.exists()
    assert Journal(tmp_path / "journal").open_entries() == (stuck,)


def test_one_that_hangs_because_of_another_is_undone_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file on a disk that is frozen: the last in the journal, and it cannot be the first that is undone."""
    monkeypatch.setattr(module, "ORDER_S", 0.3)
    journal, path = Journal(tmp_path / "journal"), fifo(tmp_path)
    thawed = threading.Event()
    monkeypatch.setattr(Thaw, "perform", lambda _self: thawed.set())
    monkeypatch.setattr(Delete, "perform", lambda _self: thawed.wait(5) or pytest.fail("it hangs"))
    journal.begin("frozen", Thaw(path=tmp_path))
    journal.begin("full", Delete(path=path))
    assert journal.undo_all() == ()
    assert journal.open_entries() == ()


def test_an_undoing_that_takes_its_time_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_FOR_S", 0.1)
    journal = Journal(tmp_path / "journal")
    journal.begin("topics", Run(command=("sleep", "1"), timeout_s=10.0))
    assert journal.undo_all() == ()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Delete(path=Path("/disk/ballast")), Thaw(path=Path("/disk")), True),
        (Unmount(path=Path("/disk")), Thaw(path=Path("/disk")), True),
        (Thaw(path=Path("/disk-1")), Thaw(path=Path("/disk")), False),
        (Thaw(path=Path("/disk")), Continue(pid=1, created=0.0), False),
    ],
)
def test_only_what_is_about_the_same_place_has_an_order(one: Action, other: Action, expected: bool) -> None:
    assert depends(one, other) is depends(other, one) is expected


def test_what_cannot_be_undone_is_told_and_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRY_FOR_S", 0.3)
    journal = Journal(tmp_path / "journal")
    entry = journal.begin("container paused", Run(command=("sh", "-c", "echo no such engine; exit 1")))
    with pytest.raises(FaultFailed, match=r"container paused cannot be undone: .*no such engine"):
        journal.end(entry)
    other = journal.begin("file", Delete(path=tmp_path / "file"))
    assert len(journal.undo_all()) == 1
    assert journal.open_entries() == (entry,)
    assert other.number > entry.number


def test_a_command_whose_answer_says_that_nothing_is_left_has_succeeded(tmp_path: Path) -> None:
    command = ("sh", "-c", "echo container is not paused >&2; exit 1")
    Run(command=command, done=("is not paused",)).perform()
    Run(command=("true",)).perform()


def test_a_torn_line_at_the_end_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    entry = Journal(path).begin("one", Delete(path=tmp_path / "x"))
    with path.open("a") as file:
        file.write('{"n": 2, "fault": "tw')
    assert Journal(path).open_entries() == (entry,)


def test_a_process_with_the_pid_of_one_that_is_gone_is_left_alone(sleeper: psutil.Popen) -> None:
    suspend(sleeper)
    Continue(pid=sleeper.pid, created=sleeper.create_time() - 5).perform()
    assert sleeper.status() == psutil.STATUS_STOPPED
    Continue.of(sleeper).perform()
    until(lambda: sleeper.status() != psutil.STATUS_STOPPED)


def test_nothing_happens_where_nothing_is_left_to_be_undone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    for action in (Thaw(path=gone), Thaw(path=tmp_path), Unmount(path=gone), Unmount(path=tmp_path)):
        action.perform()
    Delete(path=gone).perform()
    Write(path=gone / "file", text="").perform()
    Continue(pid=2**22 - 1, created=0.0).perform()


RUNNER = """
import os, signal, sys, psutil
from pathlib import Path
from holdfast.chaos.undo.actions import Continue
from holdfast.chaos.undo.guard import Guard
from holdfast.chaos.undo.journal import Journal

path, pid = Path(sys.argv[1]), int(sys.argv[2])
guard, journal = Guard(path), Journal(path)
journal.begin("frozen", Continue.of(psutil.Process(pid)))
os.kill(pid, signal.SIGSTOP)
print("frozen", flush=True)
signal.pause()
"""


def test_what_a_killed_runner_left_is_undone_within_ten_seconds(
    tmp_path: Path, sleeper: psutil.Popen
) -> None:
    path = tmp_path / "journal"
    command = [sys.executable, "-c", RUNNER, str(path), str(sleeper.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "frozen\n"
        until(lambda: sleeper.status() == psutil.STATUS_STOPPED)
        os.kill(runner.pid, signal.SIGKILL)
    until(lambda: sleeper.status() != psutil.STATUS_STOPPED, 10)
    until(lambda: Journal(path).open_entries() == (), 10)


def test_a_guard_that_is_let_go_leaves_nothing_open(tmp_path: Path) -> None:
    path, file = tmp_path / "journal", tmp_path / "file"
    with Guard(path):
        file.touch()
        Journal(path).begin("file", Delete(path=file))
    assert not file.exists()


def test_a_guard_has_the_time_that_what_it_undoes_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner must not end it in the midst of its work, however long a session of a worker is."""
    path, waited = tmp_path / "journal", []

    class Hangs:
        """A guard that is not done in any time."""

        stdin = io.BytesIO()

        def __init__(self, *_: object, **__: object) -> None:
            """Nothing is started."""

        def wait(self, within: float) -> int:
            waited.append(within)
            raise subprocess.TimeoutExpired("guard", within)

        def kill(self) -> None:
            """It is given up."""

    monkeypatch.setattr(subprocess, "Popen", Hangs)
    guard, journal = Guard(path), Journal(path)
    journal.begin("file", Delete(path=tmp_path / "file"))
    journal.begin("topics and groups", Run(command=("true",), timeout_s=700.0))
    with pytest.raises(FaultFailed, match=r"by hand: file .*; topics and groups"):
        guard.close()
    assert waited[0] > module.TRY_FOR_S + 700.0 + 2 * module.ORDER_S
