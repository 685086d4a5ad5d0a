"""The redrive topic: what is for others, held, tried again, or left to the live version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.engine.redriven import Hold
from holdfast.engine.shard import ShardTask
from holdfast.engine.unit import Unit
from holdfast.testing import MemoryMessage, MemoryStore
from tests.unit.engine.kit import IN
from tests.unit.engine.redriving import REDRIVE, SHARD, Log, Owner, with_retries


@pytest.mark.parametrize("policy", ["dead-letter", "park-key"])
def test_records_for_others_are_passed(policy: str) -> None:
    """The position goes on, and so it does over what nobody can read."""
    log = Log()
    headers = [(f"holdfast.redrive.{name}", b"1") for name in ("processor", "letter")]
    log.redriven = [MemoryMessage(REDRIVE, SHARD, n, key=b"a", value=b"", headers=headers) for n in range(2)]
    log.redriven.append(MemoryMessage(REDRIVE, SHARD, 2, key=b"a", value=b"", headers=None))
    owner = Owner(log, policy)
    owner.work_off()
    assert (owner.task.positions[REDRIVE], log.letters, log.handled) == (3, [], {})


def test_a_redriven_record_stops_its_shard_where_that_is_declared() -> None:
    """At its place in the redrive topic; it is tried again when the shard starts again."""
    log = Log(broken={("a", 0)})
    log.publish("a", 0)
    first = Owner(log, "dead-letter")
    first.work_off()
    owner = Owner(log, "stop")
    log.redrive(log.open)
    owner.work(REDRIVE)
    assert owner.task.failure is not None
    assert str(owner.task.failure.position) == "app.redrive[3]@0"


def test_a_shadow_leaves_redriven_records_alone() -> None:
    """The live version handles them; a shadow has handled the records themselves."""
    log = Log(broken={("a", 0)})
    log.publish("a", 0)
    Owner(log, "dead-letter").work_off()
    log.broken.clear()
    log.redrive(log.open)
    shadow = replace(log.plan("dead-letter"), is_shadow=True)
    task = ShardTask(shadow, SHARD, MemoryStore(), {IN: 1, REDRIVE: 0})
    unit = Unit()
    task.handle(REDRIVE, log.redriven, unit)
    assert (unit.outputs, task.positions[REDRIVE]) == ([], 1)


def test_a_shard_that_is_held_reads_only_what_is_redriven() -> None:
    """For the time that was said, or until it is let go; whoever asked may be gone."""
    log, now = Log(), [1_000]
    task = ShardTask(log.plan(), SHARD, MemoryStore(), {IN: 0, REDRIVE: 0}, now=lambda: now[0])
    log.publish("a", 0)
    for ms in (600_000, 5_000, 0):
        log.redriven.append(
            MemoryMessage(
                REDRIVE,
                SHARD,
                len(log.redriven),
                key=None,
                value=None,
                headers=[(name, value or b"") for name, value in Hold(ms).headers("counter")],
            )
        )
    task.handle(REDRIVE, log.redriven[:1], Unit())
    assert (task.waits(IN), task.count_ready(IN, log.adds), task.waits(REDRIVE)) == (True, 0, False)
    now[0] += 9_999
    assert task.waits(IN)
    now[0] += 1
    assert (task.waits(IN), task.count_ready(IN, log.adds)) == (False, 1)
    task.handle(REDRIVE, log.redriven[1:2], Unit())
    assert task.waits(IN)
    task.handle(REDRIVE, log.redriven[2:], Unit())
    assert not task.waits(IN)


def test_a_redriven_record_is_tried_again_in_its_place() -> None:
    """The redrive topic waits at it, the inputs do not; its letter counts all attempts."""
    log = Log(broken={("a", 1)})
    owner = Owner(log)
    owner.task = ShardTask(with_retries(log.plan(), 2), SHARD, MemoryStore(), {IN: 0, REDRIVE: 0}, fence=1)
    log.publish("a", 1)
    log.publish("a", 2)
    owner.work(IN)
    assert owner.task.waiting_at(IN) == 0
    owner.task.hurry()
    owner.work_off()
    assert [letter.attempts for letter in log.letters] == [2, 0]
    log.redrive(log.open)
    owner.work(REDRIVE)
    assert owner.task.waiting_at(REDRIVE) == 0
    assert owner.task.waits(REDRIVE)
    # As when it comes again before its time.
    owner.work(REDRIVE)
    assert owner.task.positions[REDRIVE] == 0
    log.publish("b", 3)
    owner.work(IN)
    log.broken.clear()
    owner.task.hurry()
    owner.work_off()
    assert log.handled == {"a": [1, 2], "b": [3]}
