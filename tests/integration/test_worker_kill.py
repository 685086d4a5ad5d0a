"""Workers that are killed, stopped or frozen at any moment: every record still counts exactly once."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable

import pytest

from holdfast.runtime.supervisor import WorkerState
from tests.support.application import Application
from tests.support.events import Added
from tests.support.fold import assert_exactly_once
from tests.support.load import Load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]


@pytest.mark.parametrize("seed", [1])
def test_a_worker_killed_again_and_again_under_load(on_both_protocols: Make, seed: int) -> None:
    """SIGKILL at random moments; the supervisor starts it again in its slot."""
    app, rng = on_both_protocols(), random.Random(seed)
    with app.run() as run:
        run.until_running()
        with Load(app, seed=seed):
            for kills in range(1, 6):
                run.let_run(rng.uniform(0.3, 1.0))
                run.kill()
                run.until(lambda kills=kills: run.views[0].restarts >= kills, 20, "the worker started again")
                run.until(lambda: run.views[0].records, 20, "records")
        run.until_drained()
    assert assert_exactly_once(app) > 1000


@pytest.mark.slow
def test_a_worker_killed_with_its_disk_lost(application: Make) -> None:
    """An empty state folder is filled from the changelog."""
    app = application()
    with app.run() as run, Load(app):
        for kills in (1, 2):
            # The first commits of a shard have no records in them yet.
            before = sum(app.committed().values())
            run.until(lambda before=before: sum(app.committed().values()) > before, 40, "committed records")
            run.kill_unseen()
            shutil.rmtree(app.state_folder())
            run.until(lambda kills=kills: run.views[0].restarts == kills, 20, "a new worker")
        run.until(lambda: run.running() == 4 and run.views[0].status.restored > 0, 40, "a restore")
    with app.run() as run:
        run.until_drained()
    assert_exactly_once(app)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_stop_commits_what_is_done_and_a_restart_goes_on(
    application: Make, number: signal.Signals
) -> None:
    """The worker ends with code 0 in short time; nothing is repeated."""
    app = application(commit_interval="2s")
    with app.run() as run:
        run.until_running()
        with Load(app):
            run.until(lambda: run.views[0].records > 500, 20, "records")
            run.signal(number)
            run.until(lambda: run.supervisor.all_ended, 10, "its end")
        assert run.views[0].state is WorkerState.STOPPED
    # The commit interval is long: what was committed, was committed by the stop.
    assert sum(app.committed().values()) > 500
    with app.run() as run:
        run.until_drained()
    assert_exactly_once(app)


def test_a_frozen_worker_that_wakes_up_as_a_zombie_writes_nothing_twice(on_both_protocols: Make) -> None:
    """SIGSTOP past its session: another worker takes its shards; SIGCONT: it is fenced and joins again."""
    app = on_both_protocols()
    with app.run(workers=2) as run:
        run.until_running()
        with Load(app):
            for _ in range(2):
                run.until(lambda: run.running() == 4, 30, "all shards")
                pid = run.signal(signal.SIGSTOP, 0)
                try:
                    run.until(lambda: run.views[1].status.shards.get("running") == 4, 30, "a takeover")
                    run.let_run(0.5)
                finally:
                    run.signal(signal.SIGCONT, 0)
                run.until(lambda: run.views[0].status.shards.get("running", 0) in (1, 2), 30, "its return")
                assert run.views[0].pid == pid
        run.until_drained()
    assert_exactly_once(app)


def test_a_frozen_worker_that_wakes_up_in_time_just_goes_on(on_both_protocols: Make) -> None:
    """Shorter than the session: nobody notices."""
    app = on_both_protocols(session_timeout="6s")
    with app.run() as run:
        run.until_running()
        with Load(app):
            run.let_run(0.4)
            run.signal(signal.SIGSTOP)
            run.let_run(1.0)
            run.signal(signal.SIGCONT)
            run.let_run(0.4)
        run.until_drained()
        assert run.views[0].restarts == 0
    assert_exactly_once(app)


def test_at_least_once_loses_nothing_when_killed(application: Make) -> None:
    """Outputs may be repeated; every input has one, and the state never runs behind."""
    app = application(guarantee="at-least-once")
    with app.run() as run:
        run.until_running()
        with Load(app):
            for kills in range(1, 4):
                run.let_run(0.6)
                run.kill()
                run.until(lambda kills=kills: run.views[0].restarts >= kills, 20, "the worker started again")
        run.until_drained()
    wanted = {(m.topic(), m.partition(), m.offset()) for m in app.read("adds")}
    got = {(o.topic, o.partition, o.offset) for o in app.decoded("sums")}
    assert got == wanted
    last = {o.key: o.count for o in app.decoded("sums")}
    counts: dict[str, int] = {}
    for event in app.decoded("adds"):
        counts[event.key] = counts.get(event.key, 0) + 1
    assert all(last[key] >= count for key, count in counts.items())


def test_workers_of_a_killed_supervisor_end_and_their_successors_go_on(application: Make) -> None:
    """The status pipes are the workers' sign of life from above."""
    app = application()
    app.publish(*(Added(key=f"k{i % 9}", n=i) for i in range(500)))
    with app.run() as run:
        run.until_running()
        pid = run.pid()
        # What the kernel does to the pipe when the supervisor dies.
        life = run.supervisor._lives[0]
        run.supervisor._close_pipe(life)
        run.until(lambda: life.process.poll() is not None, 15, "the worker's end")
        assert (life.process.returncode, life.process.pid) == (0, pid)
    with app.run() as run:
        run.until_drained()
    assert_exactly_once(app)
