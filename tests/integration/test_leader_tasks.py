"""One of several candidates leads, whatever happens to it; nothing of a former leader is ever seen."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.provision import provision
from holdfast.runtime.supervisor import WorkerState
from tests.conftest import TestCluster
from tests.support.leaders import LeaderApplication

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., LeaderApplication]

TICK = {"tick": {"every": "500ms"}}
HOURLY = {"hourly": {"every": "1h"}}
HELD_UP = {"held_up": {"every": "1h"}}
MARGIN_S = 8.0
"""What a busy machine may add to a session timeout."""


@pytest.fixture
def leads(cluster: TestCluster, tmp_path: Path, unique_name: Callable[[str], str]) -> Make:
    """Give a function that makes an application of the test's own."""

    def make(tasks: dict[str, dict[str, str]], **options: Any) -> LeaderApplication:
        return LeaderApplication(tmp_path, cluster.bootstrap_servers, unique_name("app"), tasks, **options)

    return make


def assert_each_time_ran_once(ticks: list[dict[str, Any]]) -> None:
    """No time of a task was run twice, and tokens only grow, in the order of the times and of the log."""
    times = [(tick["task"], tick["at"]) for tick in ticks]
    assert len(set(times)) == len(times)
    # Events of a task have one key, so they are read in the order in which they were written.
    for task in {tick["task"] for tick in ticks}:
        of_task = [(tick["at"], tick["token"]) for tick in ticks if tick["task"] == task]
        assert of_task == sorted(of_task)
        assert [token for _, token in of_task] == sorted(token for _, token in of_task)


def test_exactly_one_of_three_candidates_runs_the_tasks(leads: Make) -> None:
    """The others wait, and say so."""
    app = leads(TICK)
    with app.candidates(3) as candidates:
        leader, token = candidates.until_led()
        seen: set[int] = set()
        for _ in range(50):
            candidates.let_run(0.1)
            seen.update(candidates.leaders())
        assert seen == {leader}
        candidates.until(
            lambda: all(candidates.view(n).status.role == "candidate" for n in {0, 1, 2} - {leader}),
            20,
            "two candidates",
        )
        ticks = candidates.until_ticks(6)
        assert {tick["token"] for tick in ticks} == {token}
        # Later, the first one to stop is followed by another.
        assert [it.token for it in app.history().elections] == [token]
    assert_each_time_ran_once(app.ticks())


def test_leader_tasks_run_where_processors_use_the_newer_group_protocol(leads: Make) -> None:
    """It is a setting of the whole application."""
    app = leads(TICK, kafka={"group.protocol": "consumer"})
    with app.candidates(2) as candidates:
        candidates.until_led()
        candidates.until_ticks(2)
    assert_each_time_ran_once(app.ticks())


def test_a_leader_that_is_killed_is_followed_within_its_session(leads: Make) -> None:
    """By another candidate, with a larger token; what has been done is not done again."""
    app = leads(TICK | HOURLY)
    with app.candidates(2) as candidates:
        leader, token = candidates.until_led()
        candidates.until_ticks(1, "hourly")
        candidates.until_ticks(3, "tick")
        candidates.lose(leader)
        began = time.monotonic()
        follower, next_token = candidates.until_led(6 + MARGIN_S)
        assert time.monotonic() - began < 6 + MARGIN_S
        assert (follower, next_token > token) == (1 - leader, True)
        candidates.until(
            lambda: next_token in {tick["token"] for tick in app.ticks("tick")},
            20,
            "a tick of the new leader",
        )
    assert_each_time_ran_once(app.ticks("tick"))
    assert len(app.ticks("hourly")) == 1
    history = app.history()
    assert [it.token for it in history.elections] == [token, next_token]
    # What nobody could run in between was counted, not run.
    assert history.runs["tick"].missed_in_all > 0


def test_a_leader_that_is_killed_and_started_again_does_not_wait_for_its_session(leads: Make) -> None:
    """It comes back in its slot, and leads on; with a new token, as it may have lost something."""
    app = leads(TICK, session="60s")
    with app.candidates(2) as candidates:
        leader, token = candidates.until_led()
        candidates.until_ticks(2)
        candidates.signal(leader, signal.SIGKILL)
        follower, next_token = candidates.until_led(30, after=token)
        assert follower == leader
        candidates.until(lambda: next_token in {tick["token"] for tick in app.ticks()}, 20, "a tick")
    assert_each_time_ran_once(app.ticks())


def test_nothing_of_a_leader_that_was_frozen_in_a_task_becomes_visible(leads: Make) -> None:
    """SIGSTOP while its task is about to write; another is elected and writes; SIGCONT: refused."""
    app = leads(HELD_UP)
    with app.candidates(2) as candidates:
        frozen, old = candidates.until_led()
        candidates.until(lambda: app.has_started(old), 20, "the task of the first leader")
        pid = candidates.signal(frozen, signal.SIGSTOP)
        try:
            # From now on nothing but the brokers keeps its write back.
            app.allow(old)
            follower, new = candidates.until_led(6 + MARGIN_S, after=old)
            assert follower != frozen
            candidates.until(lambda: app.has_started(new), 20, "the same time, run by the second leader")
            app.allow(new)
            candidates.until_ticks(1)
        finally:
            candidates.signal(frozen, signal.SIGCONT)
        candidates.until(lambda: app.has_returned(old), 20, "the end of the frozen task")
        candidates.until(lambda: candidates.view(frozen).status.role == "candidate", 20, "a candidate again")
        assert candidates.leaders() == [follower]
        assert (candidates.view(frozen).pid, candidates.view(frozen).restarts) == (pid, 0)
        # It can lead again.
        candidates.lose(follower)
        again, newest = candidates.until_led(6 + MARGIN_S, after=new)
        assert (again, newest > new > old) == (frozen, True)
    assert [tick["token"] for tick in app.ticks()] == [new]
    assert (app.folder / f"returned.{new}").read_text() == "True"


@pytest.mark.slow
def test_a_leader_that_was_frozen_alone_is_refused_too(leads: Make) -> None:
    """Nobody was elected, but its session has ended: the group refuses it. Then it leads again."""
    app = leads(HELD_UP)
    with app.candidates(1) as candidates:
        leader, old = candidates.until_led()
        candidates.until(lambda: app.has_started(old), 20, "the task")
        candidates.signal(leader, signal.SIGSTOP)
        try:
            app.allow(old)
            candidates.gone.add(leader)
            time.sleep(6 + 3)  # the fault itself: longer than its session
        finally:
            candidates.signal(leader, signal.SIGCONT)
        candidates.gone.clear()
        _, new = candidates.until_led(30, after=old)
        candidates.until(lambda: app.has_started(new), 20, "the same time once more")
        app.allow(new)
        candidates.until_ticks(1)
    assert [tick["token"] for tick in app.ticks()] == [new]


def test_a_leader_that_stops_in_good_order_is_followed_at_once(leads: Make) -> None:
    """A rolling restart: the session is much longer than the whole test."""
    app = leads(TICK, session="100s")
    with app.candidates(3) as candidates:
        leader, token = candidates.until_led()
        for _ in range(2):
            candidates.until(lambda token=token: token in {it["token"] for it in app.ticks()}, 20, "a tick")
            candidates.gone.add(leader)
            candidates.supervisors[leader].stop(20)
            assert candidates.supervisors[leader].views[0].state is WorkerState.STOPPED
            leader, token = candidates.until_led(20, after=token)
    assert_each_time_ran_once(app.ticks())


def test_a_task_that_runs_when_its_leader_stops_is_finished_first(leads: Make) -> None:
    """The stop waits for it, and its outputs are written."""
    app = leads(HELD_UP)
    with app.candidates(1) as candidates:
        leader, token = candidates.until_led()
        candidates.until(lambda: app.has_started(token), 20, "the task")
        candidates.signal(leader, signal.SIGTERM)
        app.allow(token)
        candidates.until(lambda: candidates.view(leader).state is WorkerState.STOPPED, 20, "its end")
    assert [tick["token"] for tick in app.ticks()] == [token]


def test_a_task_that_fails_is_recorded_and_ends_nobody(leads: Make) -> None:
    """Its stack is in the log, it is tried again at its next time, and the others go on."""
    app = leads(TICK | {"raises": {"every": "1s"}, "exits": {"every": "1h"}})
    with app.candidates(1) as candidates:
        leader, token = candidates.until_led()

        def failures() -> int:
            run = app.history().runs.get("raises")
            return run.failures if run else 0

        candidates.until(lambda: failures() >= 2, 30, "two failures")
        candidates.until(lambda: "raises" in candidates.view(leader).status.role, 20, "a word of it")
        ticks = len(app.ticks("tick"))
        candidates.until_ticks(ticks + 2, "tick")
        assert (candidates.token(leader), candidates.view(leader).restarts) == (token, 0)
    runs = app.history().runs
    assert str(runs["raises"].error).startswith("ValueError: out of luck (")
    assert str(runs["exits"].error).startswith("SystemExit: 3")
    assert runs["tick"].error is None
    assert 'raise ValueError("out of luck")' in app.logs()


MARKERS_ONLY = 100
"""Bytes of a batch: less than a tick has, and more than the marker of a transaction's end. With 10 bytes no
transaction came to its end there, whatever it wrote."""


@pytest.mark.slow
def test_a_task_whose_outputs_the_brokers_refuse_is_recorded_and_ends_nobody(
    leads: Make, cluster: TestCluster
) -> None:
    """As a task that fails: the leader goes on with the others, and runs it at its next time, once.

    Only when something gets through again its client is of no use any more: it has numbered what the brokers
    never took. Then the same candidate leads anew, as it must not replace its client without being elected.
    """
    app = leads(TICK)
    with app.candidates(1) as candidates:
        candidates.until_led()
        candidates.until_ticks(1)
        set_limit(cluster, app.topic, MARKERS_ONLY)
        candidates.until(lambda: app.history().runs["tick"].error is not None, 30, "a refused run")
        said = str(app.history().runs["tick"].error)
        set_limit(cluster, app.topic, 100_000)
        candidates.until(lambda: app.history().runs["tick"].error is None, 30, "a good run")
        assert len(app.history().elections) <= 2
    assert said.startswith(f"its outputs were refused: {app.topic}: ")
    assert "Message size too large" in said
    assert_each_time_ran_once(app.ticks())


def set_limit(cluster: TestCluster, topic: str, limit: int) -> None:
    """Set the largest batch that the brokers take for a topic."""
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    for answer in client.incremental_alter_configs([resource]).values():
        answer.result(10)


@pytest.mark.slow
def test_a_task_that_takes_long_neither_overlaps_itself_nor_loses_the_leadership(leads: Make) -> None:
    """Longer than its interval, and than a client may go without a poll; other tasks run meanwhile."""
    app = leads(TICK | {"sleeps": {"every": "1s"}}, kafka={"max.poll.interval.ms": 6000})
    with app.candidates(2) as candidates:
        _, token = candidates.until_led()
        sleeps = candidates.until_ticks(2, "sleeps", within=60)
    first, second = sleeps[:2]
    assert second["at"] - first["at"] >= 8_000
    assert second["missed"] == (second["at"] - first["at"]) // 1000 - 1
    meanwhile = [it for it in app.ticks("tick") if first["at"] < it["at"] < second["at"]]
    assert len(meanwhile) >= 3
    assert {tick["token"] for tick in app.ticks()} == {token}


def test_a_task_whose_module_breaks_fails_its_candidate_for_good(leads: Make) -> None:
    """A restart would mend nothing; the error names file and line."""
    app = leads(TICK)
    (app.folder / "jobs.py").write_text("import nothing_like_it\n")
    with app.candidates(1) as candidates:
        candidates.until(lambda: candidates.view(0).state is WorkerState.FAILED, 30, "its failure")
        assert "topology.yaml" in candidates.view(0).error
        assert "nothing_like_it" in candidates.view(0).error
        assert candidates.view(0).restarts == 0


def test_candidates_say_that_the_topic_is_gone_and_tokens_go_on_when_it_is_back(
    leads: Make, cluster: TestCluster
) -> None:
    """Systems outside keep the largest token that they have seen: smaller ones would be refused for ever."""
    app = leads(TICK)
    topic, admin = app.topology.leader_id, AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    with app.candidates(2) as candidates:
        _, token = candidates.until_led()
        candidates.until_ticks(2)
        admin.delete_topics([topic])[topic].result(20)

        def waiting() -> bool:
            return all(candidates.view(n).status.role == f"waiting for topic {topic}" for n in (0, 1))

        candidates.until(waiting, 60, "a word of the topic")
        assert "`holdfast apply` creates it" in candidates.view(0).status.why
        provision(TopicAdmin(app.servers), app.topology)
        _, next_token = candidates.until_led(60, after=token)
        candidates.until(lambda: next_token in {tick["token"] for tick in app.ticks()}, 20, "a tick")
        assert not candidates.view(0).status.why
        assert all(it.token > token for it in app.history().elections)
