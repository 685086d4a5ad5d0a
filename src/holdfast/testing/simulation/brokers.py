"""The simulated cluster: brokers that come and go, who leads which partition, and requests on their way.

A request is a function that is called where it arrives: at the leader of a partition, if that is up and can
be reached then. Its answer may be lost on the way back, so that whoever asked does not know whether it was
done. A request that its client has given up may still arrive, after later ones: Kafka's protocol does
not order what comes over different connections.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from holdfast.record import TopicPartition
from holdfast.testing.simulation.kernel import Kernel, Process, Signal
from holdfast.testing.simulation.log import PartitionLog, Refused

OFFSETS_TOPIC = "__consumer_offsets"
STATE_TOPIC = "__transaction_state"
INTERNAL_PARTITIONS = 5
"""Partitions of each of the two internal topics."""

RETRY_S = 0.1
"""Seconds after which clients ask again."""

_OVERLOADED = 0.3
"""The share of requests that an overloaded leader lets wait."""

NO_ANSWER = Refused("_TRANSPORT")
"""What a client sees of a request that is lost, or whose answer is."""


@dataclass(slots=True)
class Node:
    """One broker.

    Attributes:
        number: which.
        up: whether it runs.
        cut: processes that cannot reach it.
    """

    number: int
    up: bool = True
    cut: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Weather:
    """What may befall requests, as chances from 0 to 1.

    Attributes:
        lose: a request never arrives.
        lose_answer: a request arrives and its answer does not.
        slow: a request takes seconds.
        late: a request whose client gave it up arrives afterwards all the same.
        overloaded: a topic whose leaders let a third of the requests wait for up to some seconds.
    """

    lose: float = 0.0
    lose_answer: float = 0.0
    slow: float = 0.0
    late: float = 0.0
    overloaded: str = ""


CALM = Weather()


@dataclass(slots=True)
class Leadership:
    """Who leads a partition; the epoch counts the changes."""

    node: int
    epoch: int = 0


class Brokers:
    """All brokers, and the partitions on them.

    Args:
        kernel: time and chance.
        count: how many brokers.
    """

    def __init__(self, kernel: Kernel, count: int = 3) -> None:
        self.kernel = kernel
        self.nodes = [Node(number) for number in range(count)]
        self._up = count
        self.weather = CALM
        self.logs: dict[TopicPartition, PartitionLog] = {}
        self.leaders: dict[TopicPartition, Leadership] = {}
        self.topic_ids: dict[str, str] = {}
        self.moved = Signal(kernel)
        self.requests = 0
        self.late_until = 0.0
        for topic in (OFFSETS_TOPIC, STATE_TOPIC):
            for number in range(INTERNAL_PARTITIONS):
                self._lead(TopicPartition(topic, number))

    # -- topics

    def create(self, topic: str, partitions: int, *, compacted: bool = False) -> None:
        """Make a topic."""
        self.topic_ids[topic] = f"id-{len(self.topic_ids)}-{topic}"
        for number in range(partitions):
            place = TopicPartition(topic, number)
            self.logs[place] = PartitionLog(place, compacted)
            self._lead(place)

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0 when it does not exist."""
        return sum(place.topic == topic for place in self.logs)

    def _lead(self, place: TopicPartition) -> None:
        number = self.kernel.rng.randrange(len(self.nodes))
        self.leaders[place] = Leadership(number)

    # -- brokers

    def stop(self, number: int, detection: float) -> None:
        """Take a broker away; after `detection` seconds others lead its partitions."""
        node = self.nodes[number]
        if node.up:
            node.up = False
            self._up -= 1
            self.kernel.say("broker", number, "down")
            self.kernel.at(detection, self._elect, number)

    def start(self, number: int) -> None:
        """Bring a broker back."""
        self._up += not self.nodes[number].up
        self.nodes[number].up = True
        self.kernel.say("broker", number, "up")
        for place, leadership in self.leaders.items():
            if not self.nodes[leadership.node].up:
                self._choose(place)

    def elect(self, place: TopicPartition) -> None:
        """Let another broker lead a partition, as a preferred election does."""
        self._choose(place)

    def _elect(self, gone: int) -> None:
        if self.nodes[gone].up:
            return
        for place, leadership in self.leaders.items():
            if leadership.node == gone:
                self._choose(place)

    def _choose(self, place: TopicPartition) -> None:
        live = [node.number for node in self.nodes if node.up]
        if live:
            leadership = self.leaders[place]
            leadership.node = self.kernel.rng.choice(live)
            leadership.epoch += 1

    @property
    def writable(self) -> bool:
        """Whether enough replicas are in sync for acks=all: two of three."""
        return self._up * 2 > len(self.nodes)

    def serves(self, place: TopicPartition, process: Process | None) -> bool:
        """Whether a partition's leader is up, and a process reaches it."""
        node = self.nodes[self.leaders[place].node]
        return node.up and (process is None or process.name not in node.cut)

    # -- requests

    def send(
        self,
        process: Process,
        place: TopicPartition,
        do: Callable[[], Any],
        answered: Callable[[Any], None],
    ) -> None:
        """Send a request; `answered` is called as a part of the process, with a `Refused` for a lost one."""
        self.requests += 1
        kernel, rng, weather = self.kernel, self.kernel.rng, self.weather
        delay = self._short()
        if weather is not CALM:
            if rng.random() < weather.slow:
                delay = self._long()
            elif weather.overloaded == place.topic and rng.random() < _OVERLOADED:
                delay = self._long(longest=4.0)
            if rng.random() < weather.lose:
                kernel.at(rng.uniform(0.1, 2.0), answered, NO_ANSWER, process=process)
                return
        kernel.at(delay, self._arrive, process, place, do, answered)

    def _arrive(
        self,
        process: Process,
        place: TopicPartition,
        do: Callable[[], Any],
        answered: Callable[[Any], None],
    ) -> None:
        kernel, rng = self.kernel, self.kernel.rng
        if not self.serves(place, process):
            kernel.at(RETRY_S * (1 + rng.random()), answered, NO_ANSWER, process=process)
            return
        answer = _attempt(do)
        back = self._short()
        if self.weather is not CALM and rng.random() < self.weather.lose_answer:
            answer, back = NO_ANSWER, rng.uniform(0.1, 2.0)
        if self.weather is not CALM and rng.random() < self.weather.slow:
            back = self._long()
        kernel.at(back, answered, answer, process=process)

    def _short(self) -> float:
        """How long a request or an answer is usually under way."""
        return 0.0002 + 0.001 * self.kernel.rng.random()

    def _long(self, longest: float | None = None) -> float:
        """How long something takes that takes long."""
        rng = self.kernel.rng
        delay = rng.uniform(0.2, longest or rng.choice([2.0, 5.0, 25.0]))
        self.late_until = max(self.late_until, self.kernel.now + delay)
        return delay

    def _quietly(self, process: Process, place: TopicPartition, do: Callable[[], Any]) -> None:
        if self.serves(place, process):
            _attempt(do)

    def call(
        self,
        process: Process,
        place: TopicPartition,
        do: Callable[[], Any],
        deadline: float,
        heard: Callable[[Any], None] = lambda _: None,
    ) -> Any:
        """Ask in a thread, again and again while nothing but a lost request or a passing error comes back.

        Args:
            process: who asks.
            place: whose leader is asked.
            do: what it does.
            deadline: when nobody waits for the answer any longer.
            heard: told every answer.

        Raises:
            Refused: what the broker says; `_TIMED_OUT` when the deadline is there.
        """
        kernel = self.kernel
        while True:
            box: list[Any] = []
            signal = Signal(kernel)

            def answered(answer: Any, box: list[Any] = box, signal: Signal = signal) -> None:
                box.append(answer)
                signal.fire()

            self.send(process, place, do, answered)
            while not box:
                if not kernel.wait(deadline - kernel.now, signal) and not box:
                    raise Refused("_TIMED_OUT")
            answer = box[0]
            heard(answer)
            if not isinstance(answer, Refused):
                return answer
            if answer.code not in PASSING:
                raise answer
            if kernel.now + RETRY_S > deadline:
                self._give_up(process, place, do)
                raise Refused("_TIMED_OUT")
            kernel.sleep(RETRY_S)

    def _give_up(self, process: Process, place: TopicPartition, do: Callable[[], Any]) -> None:
        """A lost request may lie in a buffer, and arrive when nobody waits for it any more."""
        if self.weather is not CALM and self.kernel.rng.random() < self.weather.late:
            delay = self._long()
            self.kernel.say("a request that was given up will arrive in", f"{delay:.1f} s")
            self.kernel.at(delay, self._quietly, process, place, do)


PASSING = frozenset(
    {
        "_TRANSPORT",
        "NOT_LEADER_FOR_PARTITION",
        "NOT_ENOUGH_REPLICAS",
        "CONCURRENT_TRANSACTIONS",
        "UNSTABLE_OFFSET_COMMIT",
        "COORDINATOR_NOT_AVAILABLE",
    }
)
"""Errors after which the client asks again by itself."""


def internal(topic: str, id_: str) -> TopicPartition:
    """The internal partition that a group or a transactional id belongs to."""
    return TopicPartition(topic, zlib.crc32(id_.encode()) % INTERNAL_PARTITIONS)


def _attempt(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except Refused as refused:
        return refused
