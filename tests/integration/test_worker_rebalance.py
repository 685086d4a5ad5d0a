"""Shards that move between workers while they work."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.support.application import ADDS_AND_TAKES, FOLD, Application, Run
from tests.support.events import Added, Taken
from tests.support.fold import assert_exactly_once
from tests.support.load import Load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]

FOLD_BOTH = """
from holdfast import Context, State, processor
from test_events import Added, Folded, Sum, Taken

@processor
def handle(event: Added | Taken, sums: State[Sum], at: Context) -> Folded:
    n = event.n if isinstance(event, Added) else -event.n
    before = sums.get() or Sum()
    now = Sum(count=before.count + 1, total=before.total + n)
    sums.set(now)
    return Folded(key=event.key, topic=at.topic, partition=at.partition, offset=at.offset,
                  n=n, count=now.count, total=now.total)
"""


def shares(run: Run) -> list[int]:
    """How many shards each worker runs."""
    return sorted(view.status.shards.get("running", 0) for view in run.views)


@pytest.mark.parametrize(
    "on_both_protocols", [pytest.param("classic", marks=pytest.mark.slow), "consumer"], indirect=True
)
def test_scaling_out_and_in_under_load(on_both_protocols: Make) -> None:
    """1 -> 2 -> 1 workers: cooperative, so that the shards that stay never stop; nothing twice or lost."""
    app = on_both_protocols()
    with app.run("a") as first:
        first.until_running()
        with Load(app):
            for _ in range(2):
                with app.run("b") as second:
                    second.until(lambda: second.running() == 2 or first.supervisor.poll(0.01), 30, "a share")
                    first.until(lambda: first.running() == 2, 10, "the other half")
                    first.let_run(0.3)
                first.until(lambda: first.running() == 4, 20, "all shards again")
        first.until_drained()
    assert_exactly_once(app)


def test_two_inputs_stay_co_partitioned_over_two_workers(on_both_protocols: Make) -> None:
    """Partition p of both inputs is always with the same worker, through kills and moves."""
    app = on_both_protocols(handler=FOLD_BOTH, inputs=ADDS_AND_TAKES)
    with app.run(workers=2) as run:
        run.until(lambda: shares(run) == [2, 2], 30, "two shards each")
        with Load(app):
            run.let_run(0.5)
            run.signal(signal.SIGKILL, 1)
            run.let_run(0.5)
            run.until(lambda: shares(run) == [2, 2], 30, "two shards each")
            run.let_run(0.3)
        run.until_drained()
    assert_exactly_once(app)


@pytest.mark.slow
def test_a_shard_keeps_its_state_when_it_comes_back(application: Make) -> None:
    """The folder of an earlier stay holds an old checkpoint; what happened elsewhere is added."""
    app = application()
    with app.run("a") as run:
        app.publish(*(Added(key=f"k{i % 20}", n=i) for i in range(400)))
        run.until_drained()
    with app.run("b") as run:
        app.publish(*(Added(key=f"k{i % 20}", n=i) for i in range(400)))
        run.until_drained()
    with app.run("a") as run:
        app.publish(*(Added(key=f"k{i % 20}", n=i) for i in range(400)))
        run.until_drained()
        run.until(lambda: run.views[0].records == 400, 10, "the last report")
        assert 0 < run.views[0].status.restored < 400
    assert assert_exactly_once(app) == 1200


def test_two_inputs_alone(application: Make) -> None:
    """Both inputs are read by a single worker, with positions for both."""
    app = application(handler=FOLD_BOTH, inputs=ADDS_AND_TAKES)
    app.publish(*((Added if i % 3 else Taken)(key=f"k{i % 10}", n=i) for i in range(600)))
    with app.run() as run:
        run.until_drained()
    assert assert_exactly_once(app) == 600
    assert len(app.committed()) == 8


DIES_WHEN_ASKED_TO_GIVE_AWAY = """
import os, pathlib
from holdfast.kafka.consumer import ShardConsumer

first_life = pathlib.Path(__file__).with_name("first-life")
if not first_life.exists():
    first_life.touch()
    ShardConsumer._on_revoke = lambda *_: os._exit(9)
"""


@pytest.mark.slow
def test_shards_that_a_worker_died_giving_away_find_an_owner(application: Make) -> None:
    """Restarted in its slot it comes back without them, and nobody notices that they are nobody's."""
    app = application(handler=DIES_WHEN_ASKED_TO_GIVE_AWAY + FOLD, session_timeout="60s")
    with app.run("a") as first:
        first.until_running()
        with Load(app), app.run("b") as second:
            first.until(lambda: second.supervisor.poll(0.01) or first.views[0].restarts, 30, "a death")
            first.until(
                lambda: second.supervisor.poll(0.01) or first.running() + second.running() == 4,
                40,
                "an owner for every shard",
            )
            first.until(lambda: second.supervisor.poll(0.01) or second.running() == 2, 20, "fair shares")
        first.until_drained()
    assert_exactly_once(app)
