"""Parts for tests of the engine: events, records, plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from holdfast import Event, State
from holdfast.engine.handler import inspect_handler
from holdfast.engine.outputs import Router
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.shard import ShardTask
from holdfast.engine.unit import Unit
from holdfast.record import Output
from holdfast.schema import EventDecoder, TopicEncoder, ValueCodec
from holdfast.testing import MemoryMessage, MemoryStore


class Added(Event):
    key: str
    n: int


class Taken(Event, version=2, oldest=2):
    key: str
    n: int


class Totalled(Event):
    key: str
    total: int
    text: str = ""


class Sum(BaseModel, frozen=True):
    total: int = 0


IN, OUT, LETTERS = "adds", "totals", "app.dead-letters"


def count(event: Added, sums: State[Sum]) -> Totalled:
    """The plain handler: a running total."""
    total = (sums.get() or Sum()).total + event.n
    sums.set(Sum(total=total))
    return Totalled(key=event.key, total=total)


def fail_at_3(event: Added, sums: State[Sum]) -> Totalled:
    """The same, but 3 makes it raise after it changed state."""
    output = count(event, sums)
    if event.n == 3:
        raise ValueError("three")
    return output


def make_plan(
    handler: Callable[..., Any],
    *,
    reads: Mapping[str, Sequence[type[Event]]] | None = None,
    writes: Mapping[str, Sequence[type[Event]]] | None = None,
    tables: Mapping[str, Any] | None = None,
    limit: int = 1_000_000,
    **options: Any,
) -> ProcessorPlan:
    """A plan around `handler`; reads Added from `adds`, writes Totalled to `totals`, keeps `sums`."""
    inputs = reads or {IN: [Added]}
    outputs = {OUT: [Totalled]} if writes is None else writes
    encoders = {topic: TopicEncoder(topic, events, "key") for topic, events in outputs.items()}
    return ProcessorPlan(
        name="counter",
        handler=inspect_handler(handler),
        decoders={topic: EventDecoder(events) for topic, events in inputs.items()},
        tables={n: ValueCodec(t) for n, t in ({"sums": Sum} if tables is None else tables).items()},
        router=Router("counter", encoders, dict.fromkeys(outputs, limit)),
        dead_letter_topic=LETTERS,
        **options,
    )


def added(offset: int, key: str = "k", n: int = 1, **changes: Any) -> MemoryMessage:
    """A record of Added; `changes` replace `raw_key`, `value`, `timestamp` or `headers`."""
    parts: dict[str, Any] = {
        "raw_key": key.encode(),
        "value": Added(key=key, n=n).model_dump_json().encode(),
        "timestamp": 1000 + offset,
        "headers": [("ce_type", b"Added.v1")],
    }
    parts |= changes
    return MemoryMessage(IN, 3, offset, key=parts.pop("raw_key"), **parts)


class Bench:
    """A shard with its unit and store."""

    def __init__(self, plan: ProcessorPlan, store: Any = None) -> None:
        self.store = MemoryStore() if store is None else store
        self.task = ShardTask(plan, 3, self.store, dict.fromkeys(plan.inputs, 0))
        self.unit = Unit()

    def handle(self, *messages: MemoryMessage, topic: str = IN) -> None:
        """Hand records to the shard."""
        self.task.handle(topic, messages, self.unit)

    def commit(self) -> None:
        """Commit the unit."""
        sealed = self.task.seal()
        self.store.apply(sealed.changes, {})
        self.task.committed()
        self.unit = Unit()

    def state(self, key: bytes = b"k", table: str = "sums") -> Any:
        """The committed value of a key, decoded."""
        return dict(self.task.table(table).items()).get(key)


def headers_of(output: Output) -> dict[str, Any]:
    """Headers by name."""
    return dict(output.headers)
