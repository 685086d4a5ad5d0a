"""Brokers are killed under a leader: nothing is run twice, and somebody leads when they are back."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from holdfast.local.cluster import EmbeddedCluster
from tests.support.faults import killed
from tests.support.leaders import LeaderApplication

SECONDS = float(os.environ.get("HOLDFAST_CHAOS_SECONDS", "30"))
SEEDS = [int(seed) for seed in os.environ.get("HOLDFAST_CHAOS_SEEDS", "1").split(",")]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300 + 3 * SECONDS)]


@pytest.fixture
def app(brokers: EmbeddedCluster, tmp_path: Path, unique_name: Callable[[str], str]) -> LeaderApplication:
    """Give an application with a task that ticks."""
    tasks = {"tick": {"every": "500ms"}}
    return LeaderApplication(tmp_path, brokers.bootstrap_servers, unique_name("app"), tasks)


def partition_leader(app: LeaderApplication) -> int:
    """The broker that leads the leader's topic."""
    topic = app.topology.leader_id
    found = AdminClient({"bootstrap.servers": app.servers}).list_topics(topic, timeout=10)
    return int(found.topics[topic].partitions[0].leader)


def coordinator(app: LeaderApplication) -> int:
    """The broker that coordinates the candidates' group."""
    client = AdminClient({"bootstrap.servers": app.servers})
    [answer] = client.describe_consumer_groups([app.topology.leader_id], request_timeout=10).values()
    return int(answer.result(10).coordinator.id)


def assert_each_time_ran_once(app: LeaderApplication) -> None:
    """No time was run twice, every run that was recorded has its event, and no leader wrote after the next.

    All events have the same key, so the order in which they are read is the one in which they were written.
    """
    ticks, history = app.ticks(), app.history()
    assert len({tick["at"] for tick in ticks}) == len(ticks)
    assert history.runs["tick"].runs == len(ticks)
    tokens = [tick["token"] for tick in ticks]
    assert tokens == sorted(tokens)
    assert set(tokens) <= {election.token for election in history.elections}


@pytest.mark.parametrize("find", [partition_leader, coordinator])
def test_a_broker_killed_under_a_leader(
    brokers: EmbeddedCluster, app: LeaderApplication, find: Callable[[LeaderApplication], int]
) -> None:
    """It goes on while the broker is dead."""
    with app.candidates(2) as candidates:
        candidates.until_led()
        candidates.until_ticks(3)
        before = len(app.ticks())
        with killed(brokers, find(app)):
            candidates.until_ticks(before + 8, within=60)
    assert_each_time_ran_once(app)


@pytest.mark.chaos
def test_most_brokers_away_for_a_while(brokers: EmbeddedCluster, app: LeaderApplication) -> None:
    """Nobody can lead without them; when they are back, exactly one does, and goes on."""
    with app.candidates(2) as candidates:
        _, token = candidates.until_led()
        candidates.until_ticks(3)
        with killed(brokers, 1), killed(brokers, 2):
            candidates.let_run(20)
        began = time.time() * 1000
        candidates.until(lambda: any(it["at"] > began for it in app.ticks()), 90, "a tick with all brokers")
        candidates.until(lambda: len(candidates.leaders()) == 1, 30, "one leader")
        assert app.history().elections[0].token == token
    assert_each_time_ran_once(app)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults_of_candidates_and_brokers(
    brokers: EmbeddedCluster, app: LeaderApplication, seed: int
) -> None:
    """Killed and frozen in any order, the leader more often than others; brokers too."""
    rng, faults = random.Random(seed), []
    with app.candidates(3) as candidates:
        candidates.until_led()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            fault = rng.choice(["kill", "kill", "freeze", "freeze", "broker"])
            leaders = candidates.leaders() or [rng.randrange(3)]
            victim = rng.choice([*leaders, rng.randrange(3)])
            faults.append(f"{fault} {victim}")
            if fault == "broker":
                with killed(brokers, rng.randint(1, 3)):
                    candidates.let_run(rng.uniform(0.5, 4))
            elif candidates.view(victim).pid is not None:
                candidates.signal(victim, signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
                candidates.let_run(rng.uniform(0.5, 9))
                if fault == "freeze":
                    candidates.signal(victim, signal.SIGCONT)
            before = len(app.ticks())
            candidates.until(lambda before=before: len(app.ticks()) > before, 90, f"a tick after {faults}")
        candidates.until(lambda: len(candidates.leaders()) == 1, 60, f"one leader after {faults}")
    assert_each_time_ran_once(app)
