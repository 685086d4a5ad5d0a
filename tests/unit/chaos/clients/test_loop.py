"""The parts of the loops that need no broker: orders, states, and the handler on records."""

from __future__ import annotations

from dataclasses import dataclass, replace

from holdfast.chaos.clients.loop.at_least_once import AtLeastOnce
from holdfast.chaos.clients.loop.batches import Batches
from holdfast.chaos.clients.loop.broken import BROKEN
from holdfast.chaos.clients.loop.job import Job
from holdfast.chaos.clients.loop.mistakes import Mistake
from holdfast.chaos.clients.loop.orders import AT_LEAST_ONCE, CLIENT, Control, LoopOrders, Stream
from holdfast.chaos.clients.loop.process import loop_of
from holdfast.chaos.clients.loop.state import States
from holdfast.chaos.clients.loop.transactions import Transactions
from holdfast.chaos.workloads.bank_app import OPENING, Account, Credit, Posting, Transfer
from holdfast.schema import EventDecoder

BANK = "holdfast.chaos.workloads.bank_app"
ORDERS = LoopOrders(
    engine=CLIENT,
    servers="localhost:9092",
    worker="worker-0",
    group="chaos.lab",
    transactional_id="chaos.lab.worker-0",
    partitions=6,
    replication=3,
    handler=f"{BANK}:handle",
    state=f"{BANK}:Account",
    inputs=(
        Stream("r1-transfers", f"{BANK}:Transfer", "source"),
        Stream("r1-credits", f"{BANK}:Credit", "target"),
    ),
    outputs=(
        Stream("r1-credits", f"{BANK}:Credit", "target"),
        Stream("r1-postings", f"{BANK}:Posting", "account"),
    ),
    changelog="chaos.lab.accounts.changelog",
)


@dataclass
class Record:
    """A message as the client has it."""

    body: bytes
    at: str = "r1-transfers"

    def topic(self) -> str:
        return self.at

    def partition(self) -> int:
        return 4

    def offset(self) -> int:
        return 17

    def key(self) -> bytes:
        return b"a1"

    def value(self) -> bytes:
        return self.body

    def headers(self) -> None:
        return None


def test_orders_survive_the_command_line() -> None:
    controlled = replace(ORDERS, control=Control(Mistake.NO_REWIND, aborts=0.5), status=7)
    for orders in (ORDERS, controlled):
        assert LoopOrders.from_json(orders.to_json()) == orders


def test_the_engine_and_the_mistake_decide_which_loop_it_is() -> None:
    assert loop_of(ORDERS) is Transactions
    assert loop_of(replace(ORDERS, control=Control(batches=True))) is Batches
    assert loop_of(replace(ORDERS, engine=AT_LEAST_ONCE)) is AtLeastOnce
    for mistake, loop in BROKEN.items():
        assert loop_of(replace(ORDERS, control=Control(mistake))) is loop


def test_the_handler_of_the_workload_is_applied_as_the_engine_would() -> None:
    transfer = Transfer(source="a1", target="a2", amount=30, n=5).model_dump_json().encode()
    made, after = Job(ORDERS).apply(Record(transfer), None)  # type: ignore[arg-type] # as far as it is used
    assert after == Account(balance=OPENING - 30)
    assert [(record.topic, record.key) for record in made] == [("r1-credits", b"a2"), ("r1-postings", b"a1")]
    credit, posting = (
        EventDecoder((kind,)).decode(record.value, record.headers)  # type: ignore[arg-type] # ours are bytes
        for kind, record in zip((Credit, Posting), made, strict=True)
    )
    assert credit == Credit(target="a2", amount=30, transfer="a1:5")
    assert posting == Posting(
        account="a1",
        transfer="a1:5",
        amount=-30,
        balance=OPENING - 30,
        topic="r1-transfers",
        partition=4,
        offset=17,
    )


def test_changes_are_seen_before_they_are_kept() -> None:
    states = States()
    states.put(3, {b"k": 1})
    states.set(3, b"k", 2)
    assert states.get(3, b"k") == 2
    assert list(states.changes()) == [(3, b"k", 2)]
    states.keep()
    assert states.get(3, b"k") == 2
    assert not list(states.changes())


def test_changes_that_are_discarded_have_not_been() -> None:
    states = States()
    states.put(3, {b"k": 1})
    states.set(3, b"k", 2)
    states.set(3, b"new", 2)
    states.discard()
    assert states.get(3, b"k") == 1
    assert states.get(3, b"new") is None


def test_a_restored_shard_replaces_what_was_known_of_it() -> None:
    states = States()
    states.put(3, {b"k": 1, b"old": 1})
    states.put(3, {b"k": 5})
    assert states.get(3, b"k") == 5
    assert states.get(3, b"old") is None
    states.forget()
    assert states.shards == frozenset()
