"""`holdfast run` and `holdfast leader` with leader tasks, as users run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TestCluster
from tests.support.command import holdfast, rows
from tests.support.leaders import LeaderApplication

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def app(cluster: TestCluster, tmp_path: Path, unique_name: Callable[[str], str]) -> LeaderApplication:
    """Give an application that ticks, and has one task that fails."""
    tasks = {"tick": {"every": "500ms"}, "raises": {"every": "1h"}}
    return LeaderApplication(tmp_path, cluster.bootstrap_servers, unique_name("app"), tasks)


@pytest.fixture
def command(app: LeaderApplication) -> Command:
    """Give a function that runs `holdfast` in the application's folder, on its brokers."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return holdfast(*arguments, "--bootstrap-servers", app.servers, folder=app.folder)

    return run


def head(command: Command) -> dict[str, Any]:
    """Who leads, as the command says."""
    return rows(command("leader"))[0]


def until(condition: Callable[[], object], within: float = 90.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.2)


def test_a_run_leads_until_it_is_stopped_and_the_command_tells_of_it(
    app: LeaderApplication, command: Command
) -> None:
    """Ctrl-C ends it with exit code 0; what was done stays to be seen."""
    assert head(command)["state"] == "nobody"
    program = [sys.executable, "-m", "holdfast", "run", "--candidates", "2", "-b", app.servers]
    environment = {**os.environ, "HOLDFAST_HOME": str(app.home), "HOLDFAST_SLOT_PREFIX": "here"}
    run = subprocess.Popen(program, cwd=app.folder, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        until(lambda: len(app.ticks()) >= 3)
        leader, tick, raises, election = rows(command("leader"))
        assert leader["slot"] in ("here-0", "here-1")
        assert leader["candidates"] == ["here-0", "here-1"]
        assert (tick["task"], tick["result"], tick["last_token"]) == ("tick", "done", leader["token"])
        assert (raises["result"], raises["failures"]) == ("failed", 1)
        assert raises["error"].startswith("ValueError: out of luck")
        assert (election["token"], election["pid"]) == (leader["token"], leader["pid"])
        os.kill(leader["pid"], 0)
        assert len(rows(command("leader", "--elections", "0"))) == 3
    finally:
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 0, said
    assert f"leading (token {leader['token']}); failing: raises" in said
    assert "stopped 2 workers: leader " in said
    assert said.rstrip().endswith(" runs")
    after = rows(command("leader"))
    assert (after[0]["state"], after[1]["result"]) == ("nobody", "done")


def test_a_task_that_cannot_be_found_ends_a_run_before_it_begins(
    app: LeaderApplication, command: Command
) -> None:
    """Exit code 1, the line of the file, and what was meant."""
    declared = json.loads(app.file.read_text())
    declared["leader_tasks"]["tick"]["task"] = "jobs:tikc"
    app.file.write_text(json.dumps(declared, indent=1))
    line = app.file.read_text().splitlines().index('   "task": "jobs:tikc",') + 1
    done = command("run")
    assert done.returncode == 1
    assert (
        f'topology.yaml:{line}: leader_tasks.tick.task: "jobs:tikc": jobs.py has no name "tikc"'
        in done.stderr
    )
    assert 'did you mean "tick"?' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_task_that_fails_to_import_in_its_process_ends_the_run_with_an_error(
    app: LeaderApplication, command: Command
) -> None:
    """The supervisor could import it, the candidate cannot: it is not tried again."""
    jobs = app.folder / "jobs.py"
    text = "import os, sys\nif 'leader_process' in ' '.join(sys.orig_argv): raise RuntimeError('not here')\n"
    jobs.write_text(text + jobs.read_text())
    done = command("run")
    assert done.returncode == 1
    assert "RuntimeError: not here" in done.stderr
    assert "failed: leader (" in done.stderr


def test_leader_tasks_have_no_end_to_drain(command: Command) -> None:
    """`--drain` runs none, and says so where nothing is left to run."""
    named = command("run", "leader", "--drain")
    assert (named.returncode, "leader tasks have no end" in named.stderr) == (1, True)
    alone = command("run", "--drain")
    assert (alone.returncode, "declares no processors" in alone.stderr) == (1, True)


def test_the_command_says_what_is_missing(app: LeaderApplication, command: Command) -> None:
    """The tasks in the file, or the topic on the cluster."""
    declared = json.loads(app.file.read_text())
    app.file.write_text(json.dumps({**declared, "app": declared["app"] + "-other"}))
    done = command("leader")
    assert (done.returncode, "`holdfast apply` creates it" in done.stderr) == (1, True)
    del declared["leader_tasks"]
    app.file.write_text(json.dumps(declared))
    done = command("leader")
    assert (done.returncode, "declares no `leader_tasks`" in done.stderr) == (1, True)
