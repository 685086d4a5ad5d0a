"""What is read when all is over: what could be read is kept, whatever comes after it."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.chaos.checker.finished import PartitionEnd
from holdfast.chaos.run import ends
from holdfast.chaos.run.ends import Ends, read_ends
from holdfast.checks import CheckResult
from holdfast.errors import BrokersUnreachable, FaultFailed
from holdfast.kafka.settled import settled_ends
from holdfast.record import TopicPartition

PLACE = TopicPartition("out", 0)
STABLE: list[int] = []
"""Last stable offsets of the partition, one after the other; the last one stays."""
CHECK = CheckResult.of("all is told", [])


class Offsets:
    """Brokers with one output partition."""

    def __init__(self, _servers: str) -> None:
        """Whoever they are."""

    def partitions(self, _topics: object) -> dict[str, list[TopicPartition]]:
        return {"out": [PLACE]}

    def ends(self, _places: object) -> dict[TopicPartition, int]:
        return {PLACE: STABLE[0] if len(STABLE) == 1 else STABLE.pop(0)}

    def high_watermarks(self, _places: object) -> dict[TopicPartition, int]:
        return {PLACE: 9}


def scene(*, whole: Exception | None = None, read: Exception | None = None) -> Any:
    """A run that is over, on brokers that may fail in a step."""

    def step(error: Exception | None, found: object = None) -> object:
        if error is not None:
            raise error
        return found

    workload = SimpleNamespace(
        source="in", outputs=("out",), record_end=lambda _: step(read, {"out": 7}), checks=lambda: (CHECK,)
    )
    lab = SimpleNamespace(bootstrap_servers="x", make_whole=lambda: step(whole, ("broker-2",)))
    return SimpleNamespace(lab=lab, workload=workload, recorder=None)


@pytest.fixture(autouse=True)
def offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """No brokers are asked, and nobody waits long."""
    monkeypatch.setattr(ends, "OffsetAdmin", Offsets)
    monkeypatch.setattr(ends, "make_whole", lambda lab, _topic: lab.make_whole())
    monkeypatch.setattr(ends, "settled_ends", partial(settled_ends, within=0.05))
    STABLE[:] = [9]


def test_everything_is_read() -> None:
    assert read_ends(scene()) == Ends((PartitionEnd("out", 0, 9, 9),), {"out": 7}, (CHECK,), ("broker-2",))


def test_a_transaction_that_is_about_to_end_is_waited_for() -> None:
    """Its marker may be on its way, or brokers end what a dead worker left open."""
    STABLE[:] = [7, 7, 10]
    found = read_ends(scene())
    assert (found.partitions, found.error) == ((PartitionEnd("out", 0, 10, 9),), "")


def test_a_transaction_that_stays_open_is_told_and_all_else_is_read() -> None:
    """Nobody reads what is behind it, so that not everything was read."""
    STABLE[:] = [7]
    found = read_ends(scene())
    assert found == Ends(
        (PartitionEnd("out", 0, 7, 9),),
        {"out": 7},
        (CHECK,),
        ("broker-2",),
        "a transaction stays open in out-0",
    )


def test_open_transactions_are_known_also_where_records_could_not_be_read() -> None:
    STABLE[:] = [7]
    found = read_ends(scene(read=BrokersUnreachable("no answer")))
    assert found.partitions == (PartitionEnd("out", 0, 7, 9),)
    assert found.checks == ()
    assert found.error == "a transaction stays open in out-0; no answer"


def test_brokers_that_are_not_whole_again_are_told() -> None:
    assert read_ends(scene(whole=FaultFailed("nobody leads out/0"))) == Ends(error="nobody leads out/0")
