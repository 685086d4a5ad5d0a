"""What `holdfast run` shows of its workers, in a terminal, in a pipe and in the background."""

from __future__ import annotations

import io
import os
import pty
import time

import pytest
from rich.console import Console

from holdfast.cli import run_view
from holdfast.cli.broker_watch import BrokerWatch
from holdfast.cli.console import is_live
from holdfast.cli.run_view import Rates, RunDisplay, workers_table
from holdfast.errors import BrokersUnreachable
from holdfast.runtime.status import WorkerStatus
from holdfast.runtime.supervisor import WorkerSpec, WorkerState, WorkerView


def view(name: str = "watch", **values: object) -> WorkerView:
    """A worker as the supervisor sees it."""
    it = WorkerView(WorkerSpec(name, "vm-0", lambda _: ()), pid=1234)
    for key, value in values.items():
        setattr(it, key, value)
    return it


def running(records: int = 0, shards: int = 6, **more: int) -> WorkerStatus:
    """A report of a worker that works."""
    return WorkerStatus(records=records, shards={"running": shards} if shards else {}, **more)


@pytest.fixture
def said() -> io.StringIO:
    """What was printed."""
    return io.StringIO()


@pytest.fixture
def plain(said: io.StringIO) -> RunDisplay:
    """A display without a terminal."""
    return RunDisplay(Console(file=said, width=60))


def test_the_first_line_names_the_process(plain: RunDisplay, said: io.StringIO) -> None:
    """It is the one to `kill -9` when one wants to see a restart."""
    plain.update([view()])
    assert said.getvalue() == "watch vm-0 pid 1234: starting\n"


def test_a_change_of_state_is_said_at_once_and_nothing_twice(plain: RunDisplay, said: io.StringIO) -> None:
    """Whatever the time since the last line."""
    worker = view()
    for _ in range(3):
        plain.update([worker])
    worker.state, worker.status = WorkerState.RUNNING, running(shards=0)
    plain.update([worker])
    worker.status = running(records=7)
    for _ in range(3):
        plain.update([worker])
    worker.status = running(records=9)
    plain.update([worker])
    assert said.getvalue().splitlines() == [
        "watch vm-0 pid 1234: starting",
        "watch vm-0 pid 1234: waiting for shards, shards 0, records 0, commits 0",
        "watch vm-0 pid 1234: running, shards 6, records 7, commits 0",
    ]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (WorkerStatus(), "waiting for shards"),
        (WorkerStatus(standbys=2), "waiting for shards"),
        (WorkerStatus(shards={"restoring": 6}), "restoring"),
        (WorkerStatus(shards={"restoring": 6}, restoring=1_500), "restoring (1,500 to go)"),
        (WorkerStatus(shards={"restoring": 1, "running": 5}), "restoring"),
        (WorkerStatus(shards={"failed": 6}), "shards stopped"),
        (WorkerStatus(shards={"failed": 1, "running": 5}), "running"),
    ],
)
def test_a_worker_without_a_running_shard_is_not_called_running(
    status: WorkerStatus, expected: str, plain: RunDisplay, said: io.StringIO
) -> None:
    """Its process runs, but it handles nothing."""
    plain.update([view(state=WorkerState.RUNNING, status=status)])
    assert said.getvalue().startswith(f"watch vm-0 pid 1234: {expected}, shards ")


def test_a_restore_shows_how_long_it_will_take(plain: RunDisplay, said: io.StringIO) -> None:
    """As soon as its rate is known."""
    worker = view(state=WorkerState.RUNNING, status=WorkerStatus(shards={"restoring": 6}, restoring=1_500))
    worker.restore_began = time.monotonic() - 10.0, 3_000
    plain.update([worker])
    assert said.getvalue().startswith("watch vm-0 pid 1234: restoring (1,500 to go, 10 s), shards ")


def test_why_a_restore_waits_is_told_once(plain: RunDisplay, said: io.StringIO) -> None:
    """A worker that gets nowhere looked as one that is restoring."""
    status = WorkerStatus(shards={"restoring": 6}, restore_waits="reading committed offsets: timed out")
    worker = view(state=WorkerState.RUNNING, status=status)
    for _ in range(3):
        plain.update([worker])
    assert said.getvalue().count("watch its restore waits: reading committed offsets: timed out") == 1


def test_why_a_sink_is_waited_for_is_told_of_each_processor(plain: RunDisplay, said: io.StringIO) -> None:
    """In each outage, before the line of the state; the second said nothing when it was in the same words."""
    away = WorkerStatus(shards={"running": 6}, waits_for="db", why="sink 'db': accepting connections?")
    views = [view(name, state=WorkerState.RUNNING) for name in ("ledger", "audit")]
    for status in (running(), away, running(), away):
        for each in views:
            each.status = status
        plain.update(views)
    lines = said.getvalue().splitlines()
    reason = "waits: sink 'db': accepting connections? Its records stay in their topics"
    assert [line for line in lines if "waits:" in line] == [f"ledger {reason}", f"audit {reason}"] * 2
    assert "ledger vm-0 pid 1234: waiting for sink db" in lines[lines.index(f"audit {reason}") + 1]


def test_counts_that_move_are_said_after_a_while(
    plain: RunDisplay, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only then: a worker without work is silent."""
    monkeypatch.setattr(run_view, "PLAIN_INTERVAL_S", 0.0)
    worker = view(state=WorkerState.RUNNING, status=running(records=1))
    for records in (1, 1, 2, 2):
        worker.status = running(records=records)
        plain.update([worker])
    assert [line.split("records ")[1] for line in said.getvalue().splitlines()] == [
        "1, commits 0",
        "2, commits 0",
    ]


def test_the_last_line_says_what_was_stopped(plain: RunDisplay, said: io.StringIO) -> None:
    """With what each processor handled over all its workers."""
    one = view(status=running(1))
    with plain:
        plain.stopping([one, view("other", pid=None)])
        one.pid = None
        plain.stopped([one, view("other", pid=None, status=running(1_200))])
    assert said.getvalue().splitlines() == [
        "stopping 1 worker ...",
        "stopped 2 workers: watch 1 record, other 1,200 records",
    ]


def test_a_job_that_goes_to_the_background_stops_redrawing(said: io.StringIO) -> None:
    """From then on it prints the lines that a pipe gets, and draws again when it comes back."""
    foreground = True
    console = Console(file=said, width=60, force_terminal=True, legacy_windows=False)
    with RunDisplay(console, live=lambda _: foreground) as display:
        display.update([view()])
        assert "processor" in said.getvalue()
        foreground = False
        said.seek(said.truncate(0))
        display.update([view()])
        in_background = said.getvalue()
        assert "processor" not in in_background
        assert "\x1b[2K" not in in_background
        assert "\x1b[?25h" in in_background
        assert "watch vm-0 pid 1234: starting\n" in in_background
        foreground = True
        display.update([view()])
        assert "processor" in said.getvalue()


def test_only_the_foreground_of_a_terminal_is_live() -> None:
    """Asked in a session of its own, with a terminal of its own: first before, then behind the prompt."""
    child, terminal = pty.fork()
    if child == 0:
        console = Console(file=os.fdopen(1, "w"), force_terminal=True)
        in_front = is_live(console)
        # What a shell does for `&`: a process group that is not the terminal's.
        job = os.fork()
        if job == 0:
            os.setpgid(0, 0)
            os._exit(is_live(console))
        behind = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
        os._exit(0 if in_front and not behind else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)


def test_a_file_is_never_live() -> None:
    """Nothing redraws itself there."""
    assert not is_live(Console(file=io.StringIO()))


def test_names_and_pids_are_whole_in_a_narrow_terminal(said: io.StringIO) -> None:
    """Other columns give way first."""
    console = Console(file=said, width=60, force_terminal=True, color_system=None)
    busy = view("temperature-measurements", state=WorkerState.RUNNING, status=running(1_234_567))
    idle = view("customer-spending", state=WorkerState.RUNNING)
    console.print(workers_table([busy, idle], Rates(), console))
    lines = said.getvalue().splitlines()
    assert "temperature-measurements" in lines[1]
    assert "1234" in lines[1]
    assert "running" in lines[1]
    assert "1,234,567" in lines[1]
    assert "customer-spending" in lines[2]
    assert "waiting" in lines[2]


def test_silent_brokers_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And that they are back; the workers themselves just wait."""
    monkeypatch.setattr("holdfast.cli.broker_watch.QUIET_S", 0.0)
    away = True

    def ask() -> None:
        if away:
            raise BrokersUnreachable("nobody there")

    watch = BrokerWatch("127.0.0.1:9", ask=ask)

    def until_told() -> str:
        deadline = time.monotonic() + 10
        while (news := watch.look([view()])) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return news

    assert until_told().startswith("no broker answers at 127.0.0.1:9")
    for _ in range(5):
        assert watch.look([view()]) is None
    away = False
    assert until_told() == "the brokers answer again: 127.0.0.1:9"
