"""A client of the workload `raw`: transactions of sends and polls, as Jepsen's workload for Kafka has them.

``python -m holdfast.chaos.clients.raw JSON FD`` works until SIGTERM, or until its supervisor's end. It uses
the Kafka client as its authors say one should, and nothing of Holdfast's engine: what it shows is what Kafka
and the client do under faults.
Everything that it tries is in the history before it is tried. How errors are told apart is Jepsen's table
(jepsen-io/redpanda, workload/queue.clj): a transaction failed for certain only if its commit was never tried,
or if it was aborted after that; after an outcome that is not known the producer is never used again.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from holdfast.chaos.history import Invoked, Recorder, Step, read, send
from holdfast.kafka.settings import consumer_config, producer_config
from holdfast.runtime.orphan import end_with_supervisor
from holdfast.runtime.status import StatusPipe, WorkerStatus

MOST_STEPS = 4
"""Steps of a transaction: Jepsen's number."""

MOST_RECORDS = 40
"""Records that one step sends: Jepsen sends one. More of them are what makes load of it."""

ABORT_SHARE = 0.05
READ_SHARE = 0.25
MOVE_SHARE = 1 / 64
"""How often a transaction is aborted by choice, a step reads, and an operation changes what is read."""

_INIT_S = 20.0
_COMMIT_S = 15.0
_POLL_S = 0.02
_SPACE = 10_000_000
"""Numbers that one process may send: each process has values of its own."""


@dataclass(frozen=True)
class RawSettings:
    """What one client does.

    Attributes:
        servers: the brokers.
        topic: the topic, each partition of which is a log.
        partitions: of it.
        name: of the client; its `transactional.id` is `prefix` and this.
        prefix: of names on the brokers.
        index: of the client among all of them.
        rate: records that it sends per second, at most.
        seed: of what it does.
        folder: where it records.
    """

    servers: str
    topic: str
    partitions: int
    name: str
    prefix: str
    index: int
    rate: float
    seed: int
    folder: str


@dataclass
class _Sent:
    """What is known of the sends of a transaction."""

    steps: list[Step] = field(default_factory=list)
    errors: list[KafkaError] = field(default_factory=list)


class UnknownError(Exception):
    """A transaction's fate is not known: neither client may be used again."""


class RawClient:
    """One life of a client: a producer and a consumer that belong together.

    Args:
        settings: what it does.
        recorder: takes the history.
        process: what this life is called in the history.
        chance: of what it does.
        values: numbers to send, none twice.
    """

    def __init__(
        self,
        settings: RawSettings,
        recorder: Recorder,
        process: str,
        chance: random.Random,
        values: itertools.count[int],
    ) -> None:
        self._settings = settings
        self._recorder = recorder
        self._process = process
        self._chance = chance
        self._values = values
        self._logs = [f"{settings.topic}-{number}" for number in range(settings.partitions)]
        transactional_id = f"{settings.prefix}.{settings.name}"
        self._producer = Producer(producer_config(settings.servers, transactional_id=transactional_id))
        self._consumer = Consumer(consumer_config(settings.servers, f"{settings.prefix}.raw"))
        self._positions: dict[int, int] = {}
        self.sent = 0

    def begin(self) -> None:
        """Fence the life before, and begin to read.

        Raises:
            KafkaException: the coordinator does not answer.
        """
        self._producer.init_transactions(_INIT_S)
        self._move()

    def close(self) -> None:
        """Let both clients go."""
        with contextlib.suppress(KafkaException, RuntimeError):
            self._consumer.close()

    def step(self) -> None:
        """Do one thing.

        Raises:
            UnknownError: this life is over.
        """
        if self._chance.random() < MOVE_SHARE:
            self._move()
        else:
            self._transact()

    def _move(self) -> None:
        """Read other logs, from their beginnings."""
        count = self._chance.randint(1, len(self._logs))
        chosen = sorted(self._chance.sample(range(len(self._logs)), count))
        self._read_from(dict.fromkeys(chosen, 0))

    def _read_from(self, positions: dict[int, int]) -> None:
        """Read these logs from these offsets on, and no others."""
        operation = self._recorder.invoke(self._process, "assign")
        self._positions = dict(positions)
        self._consumer.assign(
            [TopicPartition(self._settings.topic, number, at) for number, at in positions.items()]
        )
        logs = [self._logs[number] for number in positions]
        operation.ok(assigned=logs, sought=logs)

    def _transact(self) -> None:
        """One transaction of some steps."""
        planned = [self._planned() for _ in range(self._chance.randint(1, MOST_STEPS))]
        sends = [step for steps in planned if steps is not None for step in steps]
        operation = self._recorder.invoke(self._process, "txn", sends)
        sent, done, before = _Sent(), list[Step](), dict(self._positions)
        try:
            self._producer.begin_transaction()
            for steps in planned:
                done += self._read() if steps is None else self._send(steps, sent)
        except KafkaException as error:
            self._give_up(operation, done, before, error)
            return
        if self._chance.random() < ABORT_SHARE:
            self._give_up(operation, done, before, None)
        else:
            self._commit(operation, done, sent, before)

    def _planned(self) -> list[Step] | None:
        """The records of a step that sends; None for one that reads."""
        if self._chance.random() < READ_SHARE:
            return None
        log = self._chance.choice(self._logs)
        return [send(log, next(self._values)) for _ in range(self._chance.randint(1, MOST_RECORDS))]

    def _send(self, steps: list[Step], sent: _Sent) -> list[Step]:
        for step in steps:
            partition = int(step.log.rpartition("-")[2])

            def delivered(error: KafkaError | None, message: Message, step: Step = step) -> None:
                if error is not None:
                    sent.errors.append(error)
                else:
                    sent.steps.append(send(step.log, step.value, offset=message.offset()))

            value = str(step.value).encode()
            self._producer.produce(self._settings.topic, value, partition=partition, on_delivery=delivered)
        self._producer.poll(0)
        return steps

    def _read(self) -> list[Step]:
        found = self._consumer.consume(self._chance.randint(1, 100), _POLL_S)
        steps = []
        for message in found:
            value = message.value()
            if message.error() is None and value is not None:
                log = self._logs[message.partition() or 0]
                steps.append(read(log, int(value), offset=message.offset()))
                self._positions[message.partition() or 0] = (message.offset() or 0) + 1
        return steps

    def _commit(self, operation: Invoked, done: list[Step], sent: _Sent, before: dict[int, int]) -> None:
        deadline = time.monotonic() + _COMMIT_S
        while True:
            try:
                self._producer.commit_transaction(max(deadline - time.monotonic(), 1.0))
            except KafkaException as error:
                cause = error.args[0]
                if cause.retriable() and time.monotonic() < deadline:
                    continue
                if cause.txn_requires_abort():
                    self._give_up(operation, done, before, error, tried=sent)
                    return
                operation.unknown(cause.str(), _with_offsets(done, sent))
                raise UnknownError(cause.str()) from error
            else:
                operation.ok(_with_offsets(done, sent))
                self.sent += len(sent.steps)
                return

    def _give_up(
        self,
        operation: Invoked,
        done: list[Step],
        before: dict[int, int],
        error: KafkaException | None,
        *,
        tried: _Sent | None = None,
    ) -> None:
        """Abort, and go back to where it began: a consumer does not do that by itself.

        Without a commit it has failed for certain, whatever becomes of the abort. If one was tried, only an
        abort that succeeds shows that the coordinator had not taken it.

        Args:
            operation: what is given up.
            done: its steps so far.
            before: where it began to read.
            error: why; None for no reason.
            tried: what was to be committed, if a commit was tried.

        Raises:
            UnknownError: the abort failed, so this life is over.
        """
        reason = error.args[0].str() if error is not None else "aborted by choice"
        reads = [step for step in done if step.kind == "read"]
        try:
            self._producer.abort_transaction(_COMMIT_S)
        except KafkaException as failed:
            if tried is None:
                operation.fail(reason, reads)
            else:
                operation.unknown(reason, _with_offsets(done, tried))
            raise UnknownError(failed.args[0].str()) from failed
        operation.fail(reason, reads)
        self._read_from(before)


def _with_offsets(done: list[Step], sent: _Sent) -> list[Step]:
    """The steps in their order, with the offsets that the brokers told."""
    offsets = {(step.log, step.value): step.offset for step in sent.steps}
    return [
        send(step.log, step.value, offset=offsets.get((step.log, step.value)))
        if step.kind == "send"
        else step
        for step in done
    ]


class RawProgram:
    """Lives one after the other, until SIGTERM.

    Args:
        settings: what they do.
        pipe: where it is told how it goes.
    """

    def __init__(self, settings: RawSettings, pipe: StatusPipe) -> None:
        self._settings = settings
        self._pipe = pipe
        self._chance = random.Random(f"{settings.seed} {settings.name} {os.getpid()}")
        self._values = itertools.count((settings.index << 22 | os.getpid()) * _SPACE)
        self._is_open = True
        self._sent = 0
        self._alive = 0

    def observe(self) -> WorkerStatus:
        """How it is: one shard, which is itself."""
        return WorkerStatus(records=self._sent + self._alive, shards={"running": 1})

    def run(self, recorder: Recorder) -> None:
        """Work until `stop`."""
        for life in itertools.count():
            if not self._is_open:
                return
            process = f"{self._settings.name}-{os.getpid()}-{life}"
            client = RawClient(self._settings, recorder, process, self._chance, self._values)
            try:
                client.begin()
                self._live(client)
            except (KafkaException, UnknownError):
                """Another life begins with clients of its own."""
            finally:
                self._sent, self._alive = self._sent + client.sent, 0
                client.close()

    def stop(self, *_: object) -> None:
        """End after the operation under way."""
        self._is_open = False

    def _live(self, client: RawClient) -> None:
        began = time.monotonic()
        while self._is_open:
            client.step()
            self._alive = client.sent
            self._pipe.report(self)
            ahead = client.sent / self._settings.rate - (time.monotonic() - began)
            if ahead > 0:
                time.sleep(min(ahead, 1.0))


def main() -> None:
    """Read the settings, and work."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    settings = RawSettings(**asked)
    status = int(sys.argv[2])
    program = RawProgram(settings, StatusPipe(status))
    signal.signal(signal.SIGTERM, program.stop)
    # It reports only after a step that ended well: without brokers it would never hear that it is alone.
    end_with_supervisor(status)
    with Recorder(Path(settings.folder), settings.name) as recorder:
        program.run(recorder)


if __name__ == "__main__":
    main()
