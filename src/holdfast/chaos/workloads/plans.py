"""The workloads, as data: their topics, their processor, what is offered, and what their records mean."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from holdfast.chaos.clients.load import Offered
from holdfast.chaos.workloads import bank_app, sequence_app
from holdfast.chaos.workloads.bank_app import Credit, Posting, Transfer
from holdfast.chaos.workloads.sequence_app import Step, Stepped
from holdfast.kafka.partitioner import partition_of
from holdfast.schema import Event

PROCESSOR = "lab"
"""Name of the processor of every workload."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic of a workload.

    Attributes:
        name: its name.
        event: what is on it.
        key: the event's field that is the key.
    """

    name: str
    event: type[Event]
    key: str


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    """A workload with one stateful processor.

    Attributes:
        source: the topic that the load is offered to.
        others: more topics that the processor reads and writes.
        output: the topic that tells every state.
        module: of its handler.
        tables: its tables, with their types.
        key: the name of one of its keys, by its number from 0 on.
        offer: makes the events, given the number of keys and a source of chance.
        input_value: what an input is to the fold, by topic.
        state: key, origin (topic, partition, offset) and state that an output tells.
        initial: a key's state before its first input, for the fold.
        fold: a key's state after an input, given that before and the input's value. Pure.
        is_bank: whether its outputs are postings.
    """

    source: TopicPlan
    others: tuple[TopicPlan, ...]
    output: TopicPlan
    module: str
    tables: Mapping[str, str]
    key: Callable[[int], str]
    offer: Callable[[int, random.Random], Iterator[Offered]]
    input_value: Mapping[str, Callable[[Any], Any]]
    state: Callable[[Any], Any]
    initial: Any
    fold: Callable[[Any, Any], Any]
    is_bank: bool = False

    def prefixed(self, prefix: str) -> WorkloadPlan:
        """The same on topics whose names begin with `prefix`."""

        def named(topic: TopicPlan) -> TopicPlan:
            return replace(topic, name=f"{prefix}{topic.name}")

        return replace(
            self,
            source=named(self.source),
            others=tuple(map(named, self.others)),
            output=named(self.output),
            input_value={f"{prefix}{topic}": value for topic, value in self.input_value.items()},
        )

    @property
    def inputs(self) -> tuple[TopicPlan, ...]:
        """What the processor reads."""
        return (self.source, *self.others)

    @property
    def topics(self) -> tuple[TopicPlan, ...]:
        """All topics."""
        return (*self.inputs, self.output)

    def without_keys(self, keys: int, partitions: int) -> int:
        """Return how many of so many partitions have none of so many keys."""
        return partitions - len({self._partition(number, partitions) for number in range(keys)})

    def keys_for(self, partitions: int) -> int:
        """Return how many keys there have to be at least for each of so many partitions to have one."""
        reached, keys = set[int](), 0
        while len(reached) < partitions:
            reached.add(self._partition(keys, partitions))
            keys += 1
        return keys

    def _partition(self, number: int, partitions: int) -> int:
        return partition_of(self.key(number).encode(), partitions)


def _walker(number: int) -> str:
    return f"k{number}"


def _account(number: int) -> str:
    return f"a{number}"


def _steps(keys: int, chance: random.Random) -> Iterator[Offered]:
    numbers = dict.fromkeys(map(_walker, range(keys)), 0)
    names = list(numbers)
    while True:
        key = chance.choice(names)
        numbers[key] += 1
        yield Offered(Step(key=key, n=numbers[key]), key, numbers[key])


def _transfers(keys: int, chance: random.Random) -> Iterator[Offered]:
    names = [_account(number) for number in range(max(keys, 2))]
    numbers = dict.fromkeys(names, 0)
    while True:
        source, target = chance.sample(names, 2)
        numbers[source] += 1
        transfer = Transfer(source=source, target=target, amount=chance.randint(1, 50), n=numbers[source])
        yield Offered(transfer, source, transfer.n)


def _moved(balance: int, change: Mapping[str, int]) -> int:
    if "take" in change:
        return balance - min(change["take"], balance)
    return balance + change["give"]


SEQUENCE = WorkloadPlan(
    source=TopicPlan("steps", Step, "key"),
    others=(),
    output=TopicPlan("stepped", Stepped, "key"),
    module=sequence_app.__name__,
    tables={"walked": "Walked"},
    key=_walker,
    offer=_steps,
    input_value={"steps": lambda step: step.n},
    state=lambda output: {"last": output.last, "count": output.count, "total": output.total},
    initial=sequence_app.INITIAL,
    fold=sequence_app.fold,
)

BANK = WorkloadPlan(
    source=TopicPlan("transfers", Transfer, "source"),
    others=(TopicPlan("credits", Credit, "target"),),
    output=TopicPlan("postings", Posting, "account"),
    module=bank_app.__name__,
    tables={"accounts": "Account"},
    key=_account,
    offer=_transfers,
    input_value={
        "transfers": lambda transfer: {"take": transfer.amount},
        "credits": lambda credit: {"give": credit.amount},
    },
    state=lambda posting: posting.balance,
    initial=bank_app.OPENING,
    fold=_moved,
    is_bank=True,
)

PLANS: Mapping[str, WorkloadPlan] = {"sequence": SEQUENCE, "bank": BANK}
"""The workloads with a processor, by the name that experiments give them."""
