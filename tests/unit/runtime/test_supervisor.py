"""One supervisor, many worker processes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from holdfast.runtime import supervisor as module
from holdfast.runtime.orders import EXIT_ERROR, EXIT_FENCED, EXIT_FINAL
from holdfast.runtime.status import StatusLine, WorkerStatus
from holdfast.runtime.supervisor import Supervisor, WorkerSpec, WorkerState, WorkerView
from tests.unit.runtime.kit import wait_until

FAILED = """echo '{"type": "shard_failed", "partition": 2, "message": "m", "stack": "s"}' >&$0; """
NO_HANDLER = """echo '{"type": "error", "kind": "X", "message": "no such handler"}' >&$0; """
READY = """echo '{"type": "status", "records": 5, "commits": 2, "shards": {"running": 1}}' >&$0; """


def shell(script: str, slot: str = "s-0") -> WorkerSpec:
    """A worker that is a shell script; `$0` is its status pipe."""
    return WorkerSpec("counter", slot, lambda fd: ["bash", "-c", script, str(fd)])


@pytest.fixture
def start() -> Iterator[Callable[..., Supervisor]]:
    """Give a function that starts a supervisor, which is stopped at the end."""
    started: list[Supervisor] = []

    def run(*specs: WorkerSpec) -> Supervisor:
        supervisor = Supervisor(specs)
        started.append(supervisor)
        supervisor.start()
        return supervisor

    yield run
    for each in started:
        each.stop(1.0)


def poll_until(supervisor: Supervisor, condition: Callable[[], object]) -> None:
    """Poll until a condition holds."""

    def polled() -> object:
        supervisor.poll(0.02)
        return condition()

    wait_until(polled)


def test_a_worker_that_ends_by_itself_is_started_again_with_growing_pauses(
    start: Callable[..., Supervisor],
) -> None:
    """What it handled before is counted on."""
    supervisor = start(shell(READY + "exit 1"))
    view = supervisor.views[0]
    began = time.monotonic()
    poll_until(supervisor, lambda: view.restarts == 3)
    # 0.1 + 0.2 + 0.4 s
    assert time.monotonic() - began > 0.65
    assert view.records >= 15
    assert view.status.commits * 5 == view.records * 2
    assert view.error == f"ended with exit code {EXIT_ERROR}; its log says why"
    assert view.ends == 3
    assert not supervisor.all_ended


def test_pauses_start_over_for_a_worker_that_was_steady(
    start: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death after a long life is not the fourth in a row."""
    monkeypatch.setattr(module, "STEADY_S", 0.15)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.02)
    supervisor = start(shell("sleep 0.2; exit 1"))
    view = supervisor.views[0]
    poll_until(supervisor, lambda: view.restarts == 5)
    assert view.quick_ends == 0
    assert view.ends == 0, "it never came up"


def test_the_pause_has_a_limit_however_often_a_worker_ends(
    start: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of restarts in a row are counted without overflow."""
    monkeypatch.setattr(module, "MAX_PAUSE_S", 0.01)
    supervisor = start(shell("exit 1"))
    view = supervisor.views[0]
    view.quick_ends = view.restarts = 5_000
    poll_until(supervisor, lambda: view.restarts == 5_003)


def test_a_restore_tells_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """From its own rate; it begins anew when another shard joins, and is over when nothing is to go."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    view = WorkerView(shell(""))

    def after(seconds: float, to_go: int) -> float | None:
        now[0] += seconds
        view.take(WorkerStatus(restoring=to_go))
        return view.restore_seconds_left

    assert after(0, 0) is None
    assert after(0, 1_000) is None
    assert after(0.5, 900) is None
    assert after(0.5, 800) == 4.0
    assert after(3, 200) == 1.0
    assert after(1, 5_000) is None
    assert after(2, 4_000) == 8.0
    assert after(1, 0) is None


def test_an_error_that_a_restart_does_not_mend_is_final(start: Callable[..., Supervisor]) -> None:
    """The worker's own words are kept."""
    supervisor = start(shell(f"{NO_HANDLER} exit {EXIT_FINAL}"))
    poll_until(supervisor, lambda: supervisor.all_ended)
    view = supervisor.views[0]
    assert (view.state, view.restarts, view.error) == (WorkerState.FAILED, 0, "no such handler")
    assert supervisor.failed == (view,)


def test_a_worker_that_is_fenced_again_and_again_gives_way(start: Callable[..., Supervisor]) -> None:
    """Once may be a mistake of a coordinator that has just moved; three times is a rival."""
    supervisor = start(shell(f"exit {EXIT_FENCED}"))
    view = supervisor.views[0]
    poll_until(supervisor, lambda: supervisor.all_ended)
    assert (view.state, view.restarts) == (WorkerState.FAILED, module.FENCED_LIMIT - 1)


def test_a_worker_that_falls_silent_is_killed_and_started_again(start: Callable[..., Supervisor]) -> None:
    """It was up, so it should speak; another that has not begun yet is measured by another limit."""
    hung = replace(shell(f"{READY} sleep 60"), silence=0.3)
    slow = replace(shell("sleep 60", "s-1"), silence=0.3)
    supervisor = start(hung, slow)
    first = supervisor.views[0].pid
    poll_until(supervisor, lambda: supervisor.views[0].restarts == 2)
    assert supervisor.views[0].pid != first
    assert "said nothing for 0 s" in supervisor.views[0].error
    assert supervisor.views[0].ends == 2
    assert supervisor.views[1].restarts == 0


def test_a_worker_that_never_comes_up_is_killed_and_given_more_time(start: Callable[..., Supervisor]) -> None:
    """It says what it was doing last. A limit that stays the same would kill a slow start for ever."""
    stage = """echo '{"type": "starting", "stage": "it imported the file"}' >&$0; """
    supervisor = start(replace(shell(f"{stage} sleep 60"), starting=0.2, silence=60.0))
    view = supervisor.views[0]
    poll_until(supervisor, lambda: view.restarts == 1)
    assert "did not come up: it said nothing for 0 s while it imported the file" in view.error
    assert "are imported: what may wait there" in view.error
    began = time.monotonic()
    poll_until(supervisor, lambda: view.restarts == 3)
    # Twice and four times the first limit, and a pause that grows between them.
    assert time.monotonic() - began > 0.4 + 0.8 + 0.2
    assert (view.slow_starts, view.quick_ends) == (3, 3)
    assert view.state is not WorkerState.FAILED


def test_a_start_that_is_slow_but_says_so_goes_on(start: Callable[..., Supervisor]) -> None:
    """Each stage has the limit to itself; once it is up it is measured by its silence."""
    stage = """echo '{"type": "starting", "stage": "it imported"}' >&$0; sleep 0.4; """
    supervisor = start(replace(shell(f"{stage * 4} {READY} sleep 60"), starting=1.2, silence=60.0))
    view = supervisor.views[0]
    poll_until(supervisor, lambda: view.state is WorkerState.RUNNING)
    assert (view.restarts, view.error) == (0, "")


def test_a_supervisor_that_slept_itself_kills_nobody(start: Callable[..., Supervisor]) -> None:
    """What its workers said meanwhile waits in their pipes."""
    talk = f"while true; do {READY} sleep 0.05; done"
    supervisor = start(replace(shell(talk), silence=0.3))
    poll_until(supervisor, lambda: supervisor.views[0].records)
    for _ in range(3):
        time.sleep(0.5)
        supervisor.poll(0.0)
    assert (supervisor.views[0].restarts, supervisor.views[0].error) == (0, "")


def test_each_end_has_its_own_reason(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    """What an earlier life said is not the reason of a later one."""
    said = tmp_path / "said"
    supervisor = start(
        shell(f"""[ -e {said} ] && kill -9 $$; touch {said};
        echo '{{"type": "error", "kind": "X", "message": "brokers away"}}' >&$0; exit 1""")
    )
    view = supervisor.views[0]
    poll_until(supervisor, lambda: view.restarts == 1)
    assert view.error == "brokers away"
    poll_until(supervisor, lambda: view.restarts == 2)
    assert view.error == "killed by SIGKILL"


def test_a_worker_that_ends_in_good_order_is_not_started_again(start: Callable[..., Supervisor]) -> None:
    """Somebody asked it to."""
    supervisor = start(shell("exit 0"))
    poll_until(supervisor, lambda: supervisor.all_ended)
    assert supervisor.views[0].state is WorkerState.STOPPED
    assert supervisor.failed == ()


def test_a_failed_shard_is_known(start: Callable[..., Supervisor]) -> None:
    """While the worker goes on with its others."""
    supervisor = start(shell(READY + FAILED + "sleep 60"))
    view = supervisor.views[0]
    poll_until(supervisor, lambda: view.shard_failures)
    assert view.shard_failures == {2: "m"}
    assert view.state is WorkerState.RUNNING


def test_stop_asks_first_and_kills_what_is_deaf(start: Callable[..., Supervisor]) -> None:
    """A deaf worker costs the timeout, not more; it is told as killed."""
    supervisor = start(
        shell(f"trap 'exit 0' TERM; {READY} while :; do sleep 0.02; done", "polite"),
        shell(f"trap '' TERM; {READY} while :; do sleep 0.02; done", "deaf"),
    )
    polite, deaf = supervisor.views
    poll_until(supervisor, lambda: polite.records and deaf.records)
    pids = [polite.pid, deaf.pid]
    began = time.monotonic()
    supervisor.stop(0.5)
    assert 0.5 <= time.monotonic() - began < 3
    assert (polite.state, deaf.state, deaf.error) == (
        WorkerState.STOPPED,
        WorkerState.FAILED,
        "killed by SIGKILL",
    )
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)


def test_stop_cancels_a_restart_that_is_due(start: Callable[..., Supervisor]) -> None:
    """Nothing is started while stopping."""
    supervisor = start(shell("exit 1"))
    poll_until(supervisor, lambda: supervisor.views[0].state is WorkerState.RESTARTING)
    supervisor.stop(1)
    assert supervisor.all_ended


def test_output_goes_to_the_log(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    """Both streams, appended over restarts."""
    log = tmp_path / "logs" / "s.log"
    spec = WorkerSpec("c", "s", lambda _: ["bash", "-c", "echo out; echo err >&2; exit 1"], log=log)
    supervisor = start(spec)
    poll_until(supervisor, lambda: supervisor.views[0].restarts == 1)
    poll_until(supervisor, lambda: log.read_text().count("err") == 2)
    assert log.read_text().count("out") == 2


def test_a_log_that_has_grown_is_rolled_when_its_worker_starts(
    start: Callable[..., Supervisor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One old file is kept; a small log goes on."""
    monkeypatch.setattr(module, "LOG_BYTES", 10)
    log, old = tmp_path / "s-0.example.log", tmp_path / "s-0.example.log.1"
    old.write_text("older")
    log.write_text("twelve bytes")
    script = f"echo new; [ -e {tmp_path}/second ] && exit 0; touch {tmp_path}/second; exit 1"
    supervisor = start(WorkerSpec("c", "s", lambda _: ["bash", "-c", script], log=log))
    poll_until(supervisor, lambda: supervisor.all_ended)
    assert log.read_text() == "new\nnew\n"
    assert old.read_text() == "twelve bytes"


def test_between_two_lives_a_worker_has_counts_but_no_shards(start: Callable[..., Supervisor]) -> None:
    """What it did stays done; what it worked on is nobody's."""
    supervisor = start(shell(READY + "exit 1"))
    view = supervisor.views[0]
    poll_until(supervisor, lambda: view.state is WorkerState.RESTARTING)
    assert (view.records, view.status.commits, view.status.shards) == (5, 2, {})


def test_a_supervisor_that_does_not_read_does_not_hold_up_its_workers() -> None:
    """It may be suspended; a full pipe swallows what is said, and work goes on."""
    read_end, write_end = os.pipe()
    line = StatusLine(write_end)
    for records in range(2_000):
        assert line.send_status(WorkerStatus(records=records))
    os.close(read_end)
    assert not line.send_status(WorkerStatus(records=7))
    os.close(write_end)


def test_what_a_full_pipe_did_not_take_is_said_when_there_is_room() -> None:
    """A failure is said once only, and a report is not repeated when nothing changed since."""
    read_end, write_end = os.pipe()
    line = StatusLine(write_end)
    records = 0
    while select.select([], [write_end], [], 0)[1]:
        records += 1
        line.send_status(WorkerStatus(records=records))
    last = WorkerStatus(records=records + 1)
    assert line.send_status(last)
    assert line.send("shard_failed", partition=3, message="why", stack="")
    os.read(read_end, 1 << 20)
    assert line.send_status(last)
    said = [json.loads(it) for it in os.read(read_end, 1 << 20).splitlines()]
    assert [it["type"] for it in said] == ["shard_failed", "status"]
    assert said[1]["records"] == records + 1
    os.close(read_end)
    os.close(write_end)


def test_a_worker_that_cannot_be_started_is_tried_again_while_others_work(
    start: Callable[..., Supervisor], tmp_path: Path
) -> None:
    """Too many processes or files at one moment are no reason to stop all."""
    program = tmp_path / "worker"
    supervisor = start(shell(READY + "sleep 60"), WorkerSpec("late", "s", lambda fd: [str(program), str(fd)]))
    steady, late = supervisor.views
    poll_until(supervisor, lambda: steady.state is WorkerState.RUNNING)
    assert late.state is WorkerState.RESTARTING
    assert late.error.startswith("could not be started: ")
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    poll_until(supervisor, lambda: late.pid is not None)
    assert steady.state is WorkerState.RUNNING


def test_workers_end_by_themselves_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves nobody to tell them: writing to the status pipe does."""
    worker = textwrap.dedent("""
        import sys, time
        from holdfast.runtime.status import StatusLine, WorkerStatus
        line = StatusLine(int(sys.argv[1]))
        while line.send_status(WorkerStatus(records=1)):
            time.sleep(0.05)
    """)
    program = textwrap.dedent(f"""
        import sys
        from holdfast.runtime.supervisor import Supervisor, WorkerSpec
        spec = WorkerSpec("c", "s", lambda fd: [sys.executable, "-c", {worker!r}, str(fd)])
        s = Supervisor([spec])
        s.start()
        while True:
            s.poll(0.1)
            if s.views[0].records:
                print(s.views[0].pid, flush=True)
    """)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
