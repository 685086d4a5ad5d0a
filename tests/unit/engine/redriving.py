"""Parts for tests of redriven records: the topics of one shard, and its owners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdfast import State
from holdfast.engine.letters import Letter, in_order, read_letter
from holdfast.engine.parking import ParkedKey
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.retries import RetryPolicy
from holdfast.engine.shard import ShardTask
from holdfast.engine.unit import Unit
from holdfast.record import Output, Position
from holdfast.resilience import Backoff
from holdfast.testing import MemoryMessage, MemoryStore
from holdfast.topology.model import PARKED_KEYS
from tests.unit.engine.kit import IN, LETTERS, OUT, Added, Sum, Totalled, added, make_plan

REDRIVE = "app.redrive"
SHARD = 3


@dataclass
class Log:
    """The topics of one shard, as far as it is about their order.

    Attributes:
        broken: the events that the handler cannot handle.
        handled: for each key, what the committed outputs say was handled, in order.
    """

    broken: set[tuple[str, int]] = field(default_factory=set)
    adds: list[MemoryMessage] = field(default_factory=list)
    redriven: list[MemoryMessage] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    handled: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    done: set[str] = field(default_factory=set)

    def plan(self, policy: str = "park-key") -> ProcessorPlan:
        """A processor that keeps a sum, and cannot handle what is broken."""

        def handle(event: Added, sums: State[Sum]) -> Totalled:
            sums.set(Sum(total=(sums.get() or Sum()).total + event.n))
            if (event.key, event.n) in self.broken:
                raise ValueError(f"{event.key} {event.n}")
            return Totalled(key=event.key, total=event.n)

        return make_plan(handle, on_error=policy, redrive_topic=REDRIVE)

    def publish(self, key: str, n: int) -> None:
        """Write an event."""
        self.adds.append(added(len(self.adds), key, n))

    def written(self, outputs: Sequence[Output]) -> None:
        """Take what a unit wrote."""
        for output in outputs:
            if output.topic == OUT:
                event = Totalled.model_validate_json(output.value or b"")
                self.handled[event.key].append(event.total)
                continue
            headers = [(name, value) for name, value in output.headers if isinstance(value, bytes)]
            message = MemoryMessage(
                LETTERS, 0, len(self.letters), key=output.key, value=output.value, headers=headers
            )
            letter = read_letter(message)
            assert letter is not None
            self.letters.append(letter)

    @property
    def open(self) -> list[Letter]:
        """Letters that nobody has dealt with."""
        return [letter for letter in self.letters if letter.name not in self.done]

    def redrive(
        self,
        letters: Sequence[Letter],
        *,
        discarded: bool = False,
        after: Mapping[Position, int] | None = None,
    ) -> None:
        """Give letters back, as `holdfast dlq` does."""
        for letter in in_order(letters):
            self.done.add(letter.name)
            self.send(letter, discarded=discarded, after=(after or {}).get(letter.place))

    def send(self, letter: Letter, *, discarded: bool = False, after: int | None = None) -> None:
        """Write one redriven record."""
        output = letter.redriven(REDRIVE, discarded=discarded, after=after)
        headers = [(name, value) for name, value in output.headers if isinstance(value, bytes)]
        self.redriven.append(
            MemoryMessage(
                REDRIVE, SHARD, len(self.redriven), key=output.key, value=output.value, headers=headers
            )
        )


class Owner:
    """One owner of the shard after the other."""

    def __init__(self, log: Log, policy: str = "park-key") -> None:
        self.log = log
        self._plan = log.plan(policy)
        self._store = MemoryStore()
        self._fence = 0
        self.unit = Unit()
        self.task = self._take_over({IN: 0, REDRIVE: 0})

    def _take_over(self, positions: dict[str, int]) -> ShardTask:
        self._fence += 1
        return ShardTask(
            self._plan, SHARD, self._store, positions, fence=self._fence, now=lambda: self._fence * 1000
        )

    def work(self, topic: str, most: int = 1_000) -> None:
        """Handle records of one input."""
        messages = self.log.adds if topic == IN else self.log.redriven
        at = self.task.positions[topic]
        self.task.handle(topic, messages[at : at + most], self.unit)

    def work_off(self) -> None:
        """Handle and commit all that is there."""
        for topic in (IN, REDRIVE):
            self.work(topic)
        self.commit()

    def commit(self) -> None:
        """Commit what was done since."""
        sealed = self.task.seal()
        self.log.written(self.unit.outputs)
        self._store.apply(sealed.changes, {})
        self.task.committed()
        self.unit = Unit()

    def abort(self) -> None:
        """Nothing of it happened."""
        self.unit = Unit()
        self.task.reset()

    def crash(self) -> None:
        """Nothing of it happened, and another owner goes on."""
        self.unit = Unit()
        self.task = self._take_over(dict(self.task.committed_positions))

    def parked(self) -> dict[bytes, ParkedKey]:
        """The parked keys, as they are committed."""
        return dict(self.task.table(PARKED_KEYS).items())


def with_retries(plan: ProcessorPlan, attempts: int) -> ProcessorPlan:
    """The processor with further attempts, whose times a test lets come."""
    policy = RetryPolicy(attempts, Backoff(1.0, 1.0), None, lambda: 0.0, jitter=lambda: 1.0)
    return replace(plan, retry=policy)
