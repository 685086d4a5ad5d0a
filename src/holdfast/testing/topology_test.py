"""A whole topology in memory: publish events, run all processors, look at what came out.

    def test_an_order_reserves_stock() -> None:
        shop = TopologyTest(Path("topology.yaml"))
        shop.publish("stock-movements", StockReceived(sku="pen", quantity=3))
        shop.publish("orders", OrderPlaced(...))
        shop.run()
        assert shop.table("inventory", "stock")["pen"].reserved == 1

It runs the same engine as a worker: decoding, state, routing, dead letters, atomic units. What it leaves
out is Kafka, so it needs no broker and takes milliseconds.
"""

from __future__ import annotations

import asyncio
import random
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from holdfast.checks import CheckResult, Recorded
from holdfast.engine.asking import AskingHandler
from holdfast.engine.leader_plan import plan_task
from holdfast.engine.leader_task import Leadership
from holdfast.engine.letters import in_order, read_letter
from holdfast.engine.outputs import Router
from holdfast.engine.plan import RECORD_BYTES, plan_processor
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.errors import DecodeError, TopologyError, UndeclaredOutput
from holdfast.record import Output, Position, Write
from holdfast.schema import Event, EventDecoder, Tombstone, TopicEncoder
from holdfast.schema.strict import refuse_misfits
from holdfast.testing.memory_log import MemoryLog
from holdfast.testing.message import MemoryMessage
from holdfast.testing.shards import Asks, MemoryShard
from holdfast.topology.load import load
from holdfast.topology.model import Topology
from holdfast.topology.resolve import resolve

MOST_ATTEMPTS = 100
"""How often a handler is called for a record that would be tried again without end."""


class TopologyTest:
    """Runs the native processors of a topology in one thread; a `holdfast.checks.TopicReader` of the result.

    Args:
        topology: the declaration, or the file that holds it. Faust processors are left out.
        partitions: partitions of every topic, and so shards of every processor.
        rng: chooses which shard reads how much of which input next, and so makes another interleaving
            of the same events for each seed. Without it everything runs in the order of the file.
        crashes: how many of the steps are aborted and done again by a new owner of the shard, from 0
            to below 1, as chosen by `rng`.
        clients: what async handlers ask with, by the name of the system: objects of the test's own, with the
            methods that its handlers call. They serve all records.

    Raises:
        TopologyError: `clients` lacks a system that is asked, or names another.
    """

    __test__ = False  # not a test itself, whatever its name suggests to pytest

    def __init__(
        self,
        topology: Topology | str | Path,
        *,
        partitions: int = 1,
        rng: random.Random | None = None,
        crashes: float = 0.0,
        clients: Mapping[str, Any] | None = None,
    ) -> None:
        self.topology = topology if isinstance(topology, Topology) else load(Path(topology))
        app, letters = self.topology.app, self.topology.dead_letter_topic
        redriven = self.topology.redrive_topic
        parts = [f"processors.{name}" for name in self.topology.native]
        parts += [f"producers.{name}" for name in self.topology.producers]
        parts += [f"topics.{name}" for name in self.topology.topics]
        self._resolved = resolve(self.topology, only=[*parts, "leader_tasks", "checks"])
        self._log = MemoryLog(partitions)
        self._rng, self._crashes = rng, crashes
        self._decoders = {name: EventDecoder(topic.events) for name, topic in self._resolved.topics.items()}
        self._encoders = {
            name: TopicEncoder(name, topic.events, topic.decl.key)
            for name, topic in self._resolved.topics.items()
        }
        self._plans = {
            name: _without_waiting(plan_processor(processor, app, letters, time.monotonic, redriven))
            for name, processor in self._resolved.processors.items()
        }
        self._runner: asyncio.Runner | None = None
        self._redriven: set[Position] = set()
        asks = self._asks(clients or {})
        self._shards = [
            MemoryShard(plan, partition, self._log, asks.get(plan.name))
            for plan in self._plans.values()
            for partition in range(partitions)
        ]

    def _asks(self, clients: Mapping[str, Any]) -> dict[str, Asks]:
        """For each processor with an async handler, what runs it."""
        asked = {name for each in self.topology.native.values() for name in each.asks}
        if missing := asked - clients.keys():
            raise TopologyError(
                f"say what async handlers ask {min(missing)!r} with: TopologyTest(..., clients={{...}})"
            )
        if unknown := clients.keys() - asked:
            raise TopologyError(f"no processor asks {min(unknown)!r}, which is among the `clients`")

        def asks(handler: AskingHandler, write: Write, fence: int) -> list[Output]:
            assert self._runner is not None, "shards work inside of `run`"
            return self._runner.run(handler.handle(write, dict(clients), fence))

        return {
            name: partial(asks, AskingHandler(plan.handler, plan.router))
            for name, plan in self._plans.items()
            if plan.handler.is_async
        }

    def publish(self, topic: str, *events: Event | Tombstone, timestamp: int = 0) -> None:
        """Write events to a topic.

        Args:
            topic: a declared topic.
            events: events or tombstones of it.
            timestamp: their time, milliseconds since the epoch.

        Raises:
            TopologyError: the topic is not declared.
            UndeclaredOutput: the topic does not carry such an event.
        """
        self.topology.topic(topic)
        router = self._router("test", [topic])
        for event in events:
            self._require_carried(topic, event)
            self._log.append(router.one(event, timestamp))

    def publish_raw(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> None:
        """Write a record of any bytes to a topic, as a foreign producer might."""
        self._log.append(Output(topic, value, key, 0, list(headers)))

    def produce(self, producer: str, **arguments: Any) -> int:
        """Write everything that a declared producer yields, and return how many events that were.

        Raises:
            TopologyError: the producer is not declared.
            UndeclaredOutput: it yields what its `writes` do not allow.
        """
        self.topology.producer(producer)
        resolved = self._resolved.producers[producer]
        router = self._router(producer, resolved.decl.writes)
        count = 0
        for count, event in enumerate(resolved.source(**arguments), start=1):  # noqa: B007 - its last value is the result
            self._log.append(router.one(event, 0))
        return count

    def run(self) -> None:
        """Let the processors work until nothing is left to read.

        Raises:
            Exception: what a handler raised, with a note that names the record, if its processor
                declares `on_error: stop`.
        """
        with warnings.catch_warnings(), asyncio.Runner() as self._runner:
            refuse_misfits()
            while waiting := [shard for shard in self._shards if shard.lag]:
                self._work(waiting)

    def run_leader_task(self, task: str, at: datetime, *, token: int = 0, missed: int = 0) -> None:
        """Run a leader task once, as a leader does when one of its times has come.

        Args:
            task: its name in the topology.
            at: the time that the run is for.
            token: the leader's fencing token.
            missed: how many earlier times passed without a run.

        Raises:
            TopologyError: the task is not declared.
            Exception: what the task raised; nothing is written then.
        """
        self.topology.leader_task(task)
        plan = plan_task(self._resolved.leader_tasks[task], self.topology.app)
        leadership = Leadership(token, "test-0", elected_at=at, scheduled_at=at, missed=missed)
        with warnings.catch_warnings():
            refuse_misfits()
            outputs = plan.run(leadership)
        for output in outputs:
            self._log.append(output)

    def _work(self, waiting: list[MemoryShard]) -> None:
        if self._rng is None:
            for shard in waiting:
                shard.work()
        else:
            crash = self._rng.random() < self._crashes
            self._rng.choice(waiting).work_some(self._rng, crash=crash)

    def shards(self, processor: str) -> list[MemoryShard]:
        """The shards of a processor, for a test that decides itself what is read next."""
        return [shard for shard in self._shards if shard.plan.name == processor]

    def events(self, topic: str) -> Iterator[Recorded]:
        """The records of a declared topic, decoded; those that cannot be decoded are left out.

        Raises:
            TopologyError: the topic is not declared.
        """
        self.topology.topic(topic)
        return self._events(topic)

    def _events(self, topic: str) -> Iterator[Recorded]:
        decode = self._decoders[topic].decode
        for message in self._log.scan(topic):
            try:
                event = decode(message.value(), message.headers(), message.key())
            except DecodeError:
                continue
            position = Position(topic, message.partition(), message.offset())
            yield Recorded(position, _text(message.key()), message.timestamp()[1], event)

    def table(self, processor: str, table: str) -> Mapping[str, Any]:
        """A table of a processor: every key with its value.

        Raises:
            TopologyError: the processor or the table is not declared.
        """
        self.topology.processor(processor)
        if processor not in self._plans or table not in self._plans[processor].tables:
            raise TopologyError(f'processor "{processor}" declares no table "{table}"')
        tables = [shard.task.table(table) for shard in self.shards(processor)]
        return {str(_text(key)): value for each in tables for key, value in each.items()}

    def sink_writes(self, processor: str) -> list[Any]:
        """What a processor returned for its sink, in the order of each shard.

        Raises:
            TopologyError: the processor is not declared, or has no sink.
        """
        self.topology.processor(processor)
        if processor not in self._plans or self._plans[processor].sink is None:
            raise TopologyError(f'processor "{processor}" has no sink')
        return [write.value for shard in self.shards(processor) for write in shard.written]

    def dead_letters(self) -> Iterator[MemoryMessage]:
        """The records that were set aside."""
        return self._log.scan(self.topology.dead_letter_topic)

    def redrive(self) -> int:
        """Give the dead letters back that were not yet, as `holdfast dlq redrive --all` does.

        Returns:
            How many. `run` has them handled.

        Raises:
            TopologyError: a processor that set one aside takes no redriven records.
        """
        letters = [
            it for it in map(read_letter, self.dead_letters()) if it and it.place not in self._redriven
        ]
        for letter in in_order(letters):
            if not self.topology.native[letter.processor].takes_redriven:
                raise TopologyError(f'processor "{letter.processor}" does not declare `redrive: true`')
            self._log.append_to(letter.origin.partition, letter.redriven(self.topology.redrive_topic))
            self._redriven.add(letter.place)
        return len(letters)

    def records(self, topic: str) -> Iterator[MemoryMessage]:
        """The raw records of any topic."""
        return self._log.scan(topic)

    def check(self, *names: str) -> list[CheckResult]:
        """Run the declared checks with these function names, or all of them."""
        checks = {reference.partition(":")[2]: check for reference, check in self._resolved.checks.items()}
        return [checks[name](self) for name in names or checks]

    def _router(self, producer: str, topics: Iterable[str]) -> Router:
        encoders = {topic: self._encoders[topic] for topic in topics}
        return Router(producer, encoders, dict.fromkeys(encoders, RECORD_BYTES), kind="producer")

    def _require_carried(self, topic: str, event: object) -> None:
        carried = self._encoders[topic].events
        kind: type | None = event.event_type if isinstance(event, Tombstone) else type(event)
        if kind not in carried:
            name = kind.__name__ if kind else "None"
            said = f"Tombstone({name}, ...)" if isinstance(event, Tombstone) else name
            names = ", ".join(each.__name__ for each in carried)
            raise UndeclaredOutput(
                f"topic {topic!r} does not carry {said}; it carries {names}. Publish it to another topic, or "
                "add its class to the topic's `events`"
            )


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="backslashreplace")


def _without_waiting(plan: ProcessorPlan) -> ProcessorPlan:
    """The processor with an end to its attempts: what fails again and again here would for ever."""
    if (retry := plan.retry) is None:
        return plan
    return replace(plan, retry=replace(retry, attempts=retry.attempts or MOST_ATTEMPTS, budget=None))
