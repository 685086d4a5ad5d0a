"""Correct histories: what clients would see of a Kafka that does everything right, while much goes wrong.

A small simulation: processes that send, poll and run transactions on logs with offsets, control records and
a last stable offset; transactions that abort, outcomes that are unknown (and take effect later, or never),
clients that crash, consumers that are reassigned, rebalanced, rewound after an abort. At the end a reader
reads everything.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from holdfast.chaos.history import Isolation, Operation, Outcome, Step, read, send

Acting = Iterator[int]
"""A process of the simulation: gives the ns until it goes on."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large and how troubled a history is; chances are of each operation."""

    operations: int = 300
    processes: int = 6
    logs: int = 4
    keys: int = 12
    unknown: float = 0.05
    abort: float = 0.1
    crash: float = 0.01
    reassign: float = 0.05
    batch: int = 12


@dataclass(slots=True)
class Transaction:
    """What becomes of its records: None while it is open."""

    committed: bool | None = None


@dataclass(slots=True)
class Log:
    """One partition: entries with their offsets; a control record is an entry without a value."""

    name: str
    entries: list[tuple[str | None, int | None, Transaction | None]] = field(default_factory=list)
    stable: int = 0

    def append(self, key: str | None, value: int | None, within: Transaction | None) -> int:
        """Appends; returns the offset."""
        self.entries.append((key, value, within))
        return len(self.entries) - 1

    def end(self, isolation: Isolation) -> int:
        """How far a reader gets: for read_committed to the first record of an open transaction."""
        if isolation is Isolation.UNCOMMITTED:
            return len(self.entries)
        while self.stable < len(self.entries):
            within = self.entries[self.stable][2]
            if within is not None and within.committed is None:
                break
            self.stable += 1
        return self.stable

    def read(self, position: int, at_most: int, isolation: Isolation) -> tuple[int, list[Step]]:
        """The new position, and the records on the way."""
        steps: list[Step] = []
        end = self.end(isolation)
        while position < end and len(steps) < at_most:
            key, value, within = self.entries[position]
            given = isolation is Isolation.UNCOMMITTED or within is None or within.committed
            if value is not None and given:
                steps.append(read(self.name, value, key=key, offset=position))
            position += 1
        return position, steps


class Client:
    """A logical client: its incarnation's name, and where it stands in the logs that it reads."""

    def __init__(self, name: str, isolation: Isolation) -> None:
        self.client = name
        self.isolation = isolation
        self.incarnation = 0
        self.positions: dict[str, int] = {}
        self.subscribed = False

    @property
    def process(self) -> str:
        return f"{self.client}/{self.incarnation}"

    def replaced(self) -> None:
        """The next incarnation, which reads nothing yet."""
        self.incarnation += 1
        self.positions = {}


class Simulation:
    """Runs the processes, in the order of their time, and gathers what they recorded."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self._random = random.Random(seed)
        self._shape = shape
        self.logs = {f"log-{n}": Log(f"log-{n}") for n in range(shape.logs)}
        self._names = list(self.logs)
        self._value = 0
        self._left = shape.operations
        self._now = 0
        self._queue: list[tuple[int, int, Acting]] = []
        self._started = 0
        self.operations: list[Operation] = []

    def run(self) -> list[Operation]:
        """All operations, in no particular order."""
        for number in range(self._shape.processes):
            isolation = Isolation.UNCOMMITTED if number == self._shape.processes - 1 else Isolation.COMMITTED
            self._start(self._client(Client(f"p{number}", isolation)))
        self._run_all()
        self._start(self._last_reader(Client("plast", Isolation.COMMITTED)))
        self._run_all()
        return self.operations

    @property
    def now(self) -> int:
        """The time; after a run, when the last one ended."""
        return self._now

    def _start(self, acting: Acting, delay: int = 0) -> None:
        self._started += 1
        heapq.heappush(self._queue, (self._now + delay, self._started, acting))

    def _run_all(self) -> None:
        while self._queue:
            self._now, order, acting = heapq.heappop(self._queue)
            delay = next(acting, None)
            if delay is not None:
                heapq.heappush(self._queue, (self._now + delay, order, acting))

    def _client(self, client: Client) -> Acting:
        while self._left > 0:
            self._left -= 1
            chance = self._random.random()
            if not client.positions or chance < self._shape.reassign:
                yield from self._assign(client)
            elif chance < self._shape.reassign + self._shape.crash:
                self._record(client, "crash", self._now, Outcome.UNKNOWN, error="crashed")
                client.replaced()
            elif client.isolation is Isolation.UNCOMMITTED or chance < 0.4:
                yield from self._poll(client)
            elif chance < 0.65:
                yield from self._send(client)
            else:
                yield from self._transaction(client)
            yield self._delay()

    def _assign(self, client: Client, every: bool = False) -> Acting:
        began = self._now
        yield self._delay()
        logs = (
            self._names
            if every
            else self._random.sample(self._names, self._random.randint(1, len(self._names)))
        )
        before = client.positions
        client.subscribed = not every and self._random.random() < 0.5
        sought = logs if every or self._random.random() < 0.3 else []
        client.positions = {log: 0 if log in sought or log not in before else before[log] for log in logs}
        action = "subscribe" if client.subscribed else "assign"
        self._record(client, action, began, Outcome.OK, assigned=tuple(logs), sought=tuple(sought))

    def _poll(self, client: Client) -> Acting:
        began = self._now
        yield self._delay()
        rebalanced = self._rebalance(client)
        steps = self._read(client)
        yield self._delay()
        if self._random.random() < self._shape.unknown / 2:
            # The records are there, but the answer to the commit of their offsets is not.
            self._record(client, "poll", began, Outcome.UNKNOWN, steps, error="commit timed out")
        else:
            self._record(client, "poll", began, Outcome.OK, steps, rebalanced=rebalanced)

    def _rebalance(self, client: Client) -> tuple[str, ...]:
        if not client.subscribed or self._random.random() > 0.1:
            return ()
        log = self._random.choice(list(client.positions))
        client.positions[log] = self._random.randint(0, client.positions[log])
        return (log,)

    def _read(self, client: Client) -> list[Step]:
        steps: list[Step] = []
        for log in client.positions:
            client.positions[log], more = self.logs[log].read(
                client.positions[log], self._random.randint(0, self._shape.batch), client.isolation
            )
            steps += more
        return steps

    def _new(self) -> Step:
        self._value += 1
        number = self._random.randrange(self._shape.keys)
        key = None if number == 0 else f"k{number}"
        return send(self._names[number % len(self._names)], self._value, key=key)

    def _append(self, step: Step, within: Transaction | None) -> Step:
        offset = self.logs[step.log].append(step.key, step.value, within)
        known = offset if self._random.random() < 0.97 else None
        return send(step.log, step.value, key=step.key, offset=known)

    def _send(self, client: Client) -> Acting:
        began = self._now
        steps = [self._new() for _ in range(self._random.choice((1, 1, 2, 3)))]
        yield self._delay()
        if self._random.random() < 0.03:
            self._record(client, "send", began, Outcome.FAIL, steps, error="record too large")
            return
        if self._random.random() < self._shape.unknown:
            self._start(self._late_sends(steps[: self._random.randint(0, len(steps))]), self._delay())
            yield from self._without_answer(client, "send", began, steps)
            return
        done = []
        for step in steps:
            done.append(self._append(step, None))
            yield self._delay() // 8
        self._record(client, "send", began, Outcome.OK, done)

    def _late_sends(self, steps: Sequence[Step]) -> Acting:
        for step in steps:
            self._append(step, None)
            yield self._delay()

    def _without_answer(self, client: Client, action: str, began: int, steps: Sequence[Step]) -> Acting:
        """The client gives up, or is killed while it waits; another incarnation goes on."""
        yield self._delay() * 3
        if self._random.random() < 0.3:
            sends = [step for step in steps if step.kind == "send"]
            self._record(client, action, began, Outcome.UNKNOWN, sends, error="killed", returned=False)
        else:
            self._record(client, action, began, Outcome.UNKNOWN, steps, error="timed out")
        client.replaced()

    def _transaction(self, client: Client) -> Acting:
        began, before = self._now, dict(client.positions)
        transaction, steps = Transaction(), []
        touched: dict[str, None] = {}
        for _ in range(self._random.randint(1, 4)):
            yield self._delay() // 2
            if self._random.random() < 0.4:
                steps += self._read(client)
            else:
                steps.append(self._append(self._new(), transaction))
                touched[steps[-1].log] = None
        yield self._delay()
        chance = self._random.random()
        if chance < self._shape.unknown:
            self._start(self._end(transaction, touched, self._random.random() < 0.5), self._delay())
            yield from self._without_answer(client, "txn", began, steps)
            return
        commits = chance >= self._shape.unknown + self._shape.abort
        yield from self._end(transaction, touched, commits)
        if commits:
            self._record(client, "txn", began, Outcome.OK, steps)
        else:
            client.positions = before
            self._record(client, "txn", began, Outcome.FAIL, steps, error="aborted")

    def _end(self, transaction: Transaction, touched: dict[str, None], commits: bool) -> Acting:
        """The coordinator writes a control record to each log; then its answer is on its way."""
        transaction.committed = commits
        for log in touched:
            self.logs[log].append(None, None, None)
        yield self._delay()

    def _last_reader(self, client: Client) -> Acting:
        """Reads everything. What is unknown has taken effect by now, or never will."""
        yield from self._assign(client, every=True)
        while any(client.positions[log] < self.logs[log].end(client.isolation) for log in self._names):
            began = self._now
            yield self._delay()
            self._record(client, "poll", began, Outcome.OK, self._read(client))
        self._record(client, "read-all", self._now, Outcome.OK, assigned=self._names)

    def _delay(self) -> int:
        return self._random.randint(100_000, 2_000_000)

    def _record(
        self,
        client: Client,
        action: str,
        began: int,
        outcome: Outcome,
        steps: Sequence[Step] = (),
        *,
        error: str | None = None,
        returned: bool = True,
        assigned: tuple[str, ...] = (),
        sought: tuple[str, ...] = (),
        rebalanced: tuple[str, ...] = (),
    ) -> None:
        self.operations.append(
            Operation(
                client.process,
                action,
                began,
                self._now if returned else None,
                outcome,
                tuple(steps),
                error,
                client.isolation,
                assigned,
                sought,
                rebalanced,
            )
        )


def correct_history(seed: int, shape: Shape = Shape()) -> list[Operation]:
    """The operations of a history in which nothing is wrong."""
    return Simulation(seed, shape).run()


def side_by_side(histories: Sequence[Sequence[Operation]]) -> list[Operation]:
    """Several histories as one, each with logs and processes of its own, to check them at once."""
    return [
        replace(
            each,
            process=f"{number}/{each.process}",
            steps=tuple(replace(step, log=f"{number}/{step.log}") for step in each.steps),
            assigned=tuple(f"{number}/{log}" for log in each.assigned),
            sought=tuple(f"{number}/{log}" for log in each.sought),
            rebalanced=tuple(f"{number}/{log}" for log in each.rebalanced),
        )
        for number, history in enumerate(histories)
        for each in history
    ]
