"""Brokers and workers are killed while a stateful processor runs: every record still counts exactly once.

The first test is part of every run; those with the marker `chaos` take longer.

A longer loop with random faults: HOLDFAST_CHAOS_SECONDS=600 HOLDFAST_CHAOS_SEEDS=1,2,3.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from holdfast.local.cluster import EmbeddedCluster
from tests.support.application import Application
from tests.support.faults import committed_since, coordinator, killed, leader
from tests.support.fold import assert_exactly_once
from tests.support.load import Load

SECONDS = float(os.environ.get("HOLDFAST_CHAOS_SECONDS", "15"))
SEEDS = [int(seed) for seed in os.environ.get("HOLDFAST_CHAOS_SEEDS", "1").split(",")]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180 + SECONDS)]
Make = Callable[..., Application]


@pytest.mark.parametrize("find", [leader, coordinator])
def test_a_broker_killed_under_load(
    brokers: EmbeddedCluster, application: Make, find: Callable[[Application], int]
) -> None:
    """The leader of an input, and the coordinator of the group: work goes on while it is dead."""
    app = application(session_timeout="6s")
    with app.run() as run:
        run.until_running()
        with Load(app):
            run.let_run(0.5)
            with killed(brokers, find(app)):
                before = run.views[0].records
                committed_since(run, before + 500)
            run.let_run(0.5)
        run.until_drained(60)
    assert_exactly_once(app)


@pytest.mark.chaos
def test_a_broker_and_a_worker_killed_together(brokers: EmbeddedCluster, application: Make) -> None:
    """A restore while the leader of the changelog is away."""
    app = application(session_timeout="6s")
    with app.run(workers=2) as run:
        run.until_running()
        with Load(app):
            run.let_run(0.7)
            victim = leader(app)
            run.signal(signal.SIGKILL, 0)
            with killed(brokers, victim):
                before = sum(view.records for view in run.views)
                committed_since(run, before + 500)
                run.until(lambda: run.running() == 4, 40, "all shards")
        run.until_drained(60)
    assert_exactly_once(app)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults(brokers: EmbeddedCluster, application: Make, seed: int) -> None:
    """Workers killed and frozen, brokers killed and frozen, two at a time, with quiet periods."""
    app, rng = application(session_timeout="3s"), random.Random(seed)
    faults: list[str] = []
    with app.run(workers=2) as run:
        run.until_running()
        with Load(app, rate=800, seed=seed):
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                fault = rng.choice(["worker", "worker", "freeze", "broker", "broker+worker", "frozen broker"])
                faults.append(fault)
                worker, node = rng.randrange(2), rng.randint(1, 3)
                if fault == "freeze":
                    run.signal(signal.SIGSTOP, worker)
                    run.let_run(rng.uniform(0.5, 5))
                    run.signal(signal.SIGCONT, worker)
                elif fault == "frozen broker":
                    brokers.node(node).signal(signal.SIGSTOP)
                    run.let_run(rng.uniform(0.5, 5))
                    brokers.node(node).signal(signal.SIGCONT)
                elif fault.startswith("broker"):
                    with killed(brokers, node):
                        run.let_run(rng.uniform(0.2, 2))
                        if fault == "broker+worker":
                            run.signal(signal.SIGKILL, worker)
                        run.let_run(rng.uniform(0.2, 2))
                else:
                    run.signal(signal.SIGKILL, worker)
                before = sum(view.records for view in run.views)
                committed_since(run, before + 100)
                run.let_run(rng.uniform(0, 1))
        run.until_drained(90)
    assert assert_exactly_once(app) > 0, f"seed {seed}: {faults}"
