"""Workers that are frozen in the middle of a transaction, and wake up when others have gone on.

Each test proves that there was something to come back: outputs that the frozen worker had written, and not
committed. Not one of them may ever be read, and every record counts once, in order.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from tests.support.application import FOLD, Application, Run
from tests.support.fold import assert_exactly_once
from tests.support.load import Load
from tests.support.proxy import Api, Fault, Proxy, Request
from tests.support.uncommitted import (
    SESSION,
    Place,
    caught_in_a_transaction,
    frozen,
    outputs,
    shards_of,
    uncommitted,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]

TRANSACTION_S = 10.0
"""How long brokers let a transaction of a worker be open."""

UNFENCED = f"""
from confluent_kafka import Consumer
from holdfast.kafka.consumer import ShardConsumer
from holdfast.runtime.predecessors import Predecessors
from holdfast.runtime.worker import Worker

def init(self, settings, topic, listener, usual=ShardConsumer.__init__):
    usual(self, settings, topic, listener)
    self._stranger = Consumer({{name: settings[name] for name in ("bootstrap.servers", "group.id")}})

def lost(self, partitions):
    self._committer.settle()
    self._shards.release(partitions)

ShardConsumer.__init__ = init
ShardConsumer.group_metadata = lambda self: self._stranger.consumer_group_metadata()
Worker.lost = lost
Predecessors.look = lambda self, reader, shards: None
{FOLD}"""
"""A handler module that has workers commit without their standing in the group, also what they have lost, and
leave alone what others left open."""

REFUSED = (KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)


def share_of_the_first(run: Run) -> set[int]:
    """The shards of the first of two workers, when each has two."""
    app = run.application
    run.until(lambda: len(shards_of(app, "slot-0")) == 2 and run.running() == 4, 40, "two shards each")
    return shards_of(app, "slot-0")


def until_committed_on(run: Run, shards: set[int]) -> None:
    """Wait until new records of every one of some shards are committed."""
    app = run.application
    before = app.committed()

    def is_past() -> bool:
        now = app.committed()
        return all(now["adds", shard] > before["adds", shard] for shard in shards)

    run.until(is_past, 40, f"commits on shards {sorted(shards)}")


def assert_never_read(app: Application, places: set[Place]) -> None:
    """None of the outputs at these places is in a committed transaction."""
    assert places
    assert not places & outputs(app, "read_committed").keys()


def freeze_with_an_open_transaction(app: Application, *, at_least: float = 0.0) -> set[Place]:
    """Freeze one of two workers under load until the other has gone on with its shards, then wake it up.

    Args:
        app: whose workers; it commits seldom.
        at_least: seconds more.

    Returns:
        The outputs that the frozen worker had written, and not committed.
    """
    with app.run(workers=2) as run:
        shards = share_of_the_first(run)
        with Load(app, rate=300):
            pid = run.pid()
            with caught_in_a_transaction(run, shards) as left:
                run.until(lambda: run.views[1].status.shards.get("running") == 4, 30, "a takeover")
                until_committed_on(run, shards)
                run.let_run(at_least)
            run.until(lambda: run.views[0].status.shards.get("running", 0) in (1, 2), 30, "its return")
            assert run.pid(0) == pid, "it recovers by itself"
        run.until_drained()
    return left


@pytest.mark.parametrize(
    "at_least", [0.0, pytest.param(TRANSACTION_S, marks=pytest.mark.slow)], ids=["session", "transaction"]
)
def test_a_worker_frozen_with_an_open_transaction_wakes_up_as_a_zombie(
    on_both_protocols: Make, at_least: float
) -> None:
    """Its outputs stand in the topic, uncommitted, while another one handles the same inputs and new ones."""
    app = on_both_protocols(commit_interval="3s", session_timeout=SESSION)
    left = freeze_with_an_open_transaction(app, at_least=at_least)
    assert_exactly_once(app)
    assert_never_read(app, left)


@pytest.mark.slow
def test_a_zombie_that_is_not_fenced_is_found_out(application: Make) -> None:
    """The test of the test above: without the generation, its transaction ended by nobody, it commits."""
    # Its client is as patient as by default, and asks nobody: ours would give up what it had begun.
    patient = {
        "socket.timeout.ms": 9_900,
        "request.timeout.ms": 30_000,
        "topic.metadata.refresh.interval.ms": 300_000,
    }
    app = application(commit_interval="3s", session_timeout=SESSION, handler=UNFENCED, kafka=patient)
    left = freeze_with_an_open_transaction(app)
    with pytest.raises(AssertionError, match="applied twice"):
        assert_exactly_once(app)
    assert left & outputs(app, "read_committed").keys()


def is_commit(request: Request) -> bool:
    """An EndTxn that commits."""
    return request.is_commit


@pytest.mark.parametrize("arrives", ["in time", pytest.param("too late", marks=pytest.mark.slow)])
def test_a_worker_frozen_in_the_middle_of_a_commit(application: Make, proxy: Proxy, arrives: str) -> None:
    """Its offsets are in the transaction, and its commit is on the way.

    In time it counts: the shards' new owner waits for the end of that transaction, and goes on after it. When
    the brokers have given up waiting it is refused.
    """
    app = application(commit_interval="500ms")
    app.worker_servers = proxy.bootstrap_servers
    with app.run(workers=2) as run:
        shards = share_of_the_first(run)
        with Load(app, rate=300):
            run.until(lambda: run.views[0].records > 0, 20, "records")
            rule = proxy.hurt(Fault.HOLD_REQUEST, Api.END_TXN, app.slot_id("slot-0"), only=is_commit)
            run.until(rule.happened.is_set, 20, "a commit on its way")
            with frozen(run):
                left = uncommitted(app, shards)
                run.until(lambda: not shards_of(app, "slot-0"), 20, "the group has moved on")
                if arrives == "too late":
                    run.until(lambda: run.views[1].status.shards.get("running") == 4, 40, "a takeover")
                else:
                    assert run.views[1].status.shards.get("running") == 2, "the new owner did not wait"
                proxy.release(rule)
                run.until(rule.done.is_set, 10, "the commit at the brokers")
                run.until(lambda: run.views[1].status.shards.get("running") == 4, 40, "a takeover")
            run.until(lambda: run.views[0].status.shards.get("running", 0) in (1, 2), 40, "its return")
        run.until_drained()
    assert left
    assert_exactly_once(app)
    if arrives == "in time":
        assert rule.answer_error == 0
        assert left <= outputs(app, "read_committed").keys()
    else:
        assert rule.answer_error in REFUSED
        assert_never_read(app, left)


@pytest.mark.slow
def test_a_frozen_worker_whose_slot_was_started_elsewhere(application: Make, tmp_path: Path) -> None:
    """The new one takes over at once, without waiting for the end of a session, and ends the transaction."""
    app = application(commit_interval="3s", session_timeout=SESSION)
    with app.run(home=tmp_path / "one") as first:
        first.until_running()
        with (
            Load(app, rate=300),
            caught_in_a_transaction(first, {0, 1, 2, 3}) as left,
            app.run(home=tmp_path / "two") as second,
        ):
            second.until_running()
            until_committed_on(second, {0, 1, 2, 3})
            # Both in their slot, they would fence each other; the older one is stopped.
            pid = first.signal(signal.SIGCONT)
            first.until(
                lambda: second.supervisor.poll(0.02) or first.views[0].pid != pid,
                40,
                "the old one's end",
                failing=True,
            )
            first.stop()
        with app.run(home=tmp_path / "two") as second:
            second.until_drained()
    assert_exactly_once(app)
    assert_never_read(app, left)
