"""What `holdfast run` shows of the candidates for the leader tasks."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from holdfast.cli.run_view import Rates, RunDisplay, workers_table
from holdfast.runtime.status import WorkerStatus
from holdfast.runtime.supervisor import WorkerSpec, WorkerState, WorkerView


def candidate(role: str, runs: int = 0) -> WorkerView:
    """A candidate as the supervisor sees it."""
    status = WorkerStatus(records=runs, commits=runs + 1, role=role)
    spec = WorkerSpec("leader", "vm-0", lambda _: (), counts="run")
    return WorkerView(spec, pid=12, state=WorkerState.RUNNING, status=status)


def test_a_candidate_has_runs_and_no_shards() -> None:
    """A line when its role changes, another when it stops."""
    said = io.StringIO()
    display = RunDisplay(Console(file=said, width=60))
    display.update([candidate("candidate")])
    display.update([candidate("leading (token 4)", 3)])
    display.stopped([candidate("leading (token 4)", 3)])
    assert said.getvalue().splitlines() == [
        "leader vm-0 pid 12: candidate, runs 0, commits 1",
        "leader vm-0 pid 12: leading (token 4), runs 3, commits 4",
        "stopped 1 worker: leader 3 runs",
    ]


def test_a_candidate_says_what_it_waits_for() -> None:
    """Once, above the lines of state."""
    said = io.StringIO()
    display = RunDisplay(Console(file=said, width=60))
    view = candidate("waiting for topic shop.leader")
    view.status = replace(view.status, why="the topic shop.leader does not exist")
    display.update([view])
    display.update([view])
    assert said.getvalue().splitlines() == [
        "leader waits: the topic shop.leader does not exist",
        "leader vm-0 pid 12: waiting for topic shop.leader, runs 0, commits 1",
    ]


def test_the_table_shows_who_leads() -> None:
    """In the place of a worker's state."""
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    console.print(workers_table([candidate("leading (token 4)")], Rates(), console))
    assert isinstance(console.file, io.StringIO)
    assert "leading (token 4)" in console.file.getvalue()
