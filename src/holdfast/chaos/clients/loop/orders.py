"""What a control's process is told when it starts. A leaf module: whoever starts it loads no Kafka client."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from holdfast.chaos.clients.loop.mistakes import Mistake

AT_LEAST_ONCE, CLIENT = "at-least-once", "client"
"""The engines that are loops, as experiments name them."""

LOOP = "holdfast.chaos.clients.loop.process"
"""The program of a loop's process."""

FAUST, FAUST_EXACTLY_ONCE = "faust", "faust-exactly-once"
"""The engines that are stock Faust."""

FAUST_APP = "holdfast.chaos.clients.faust_app:app"
"""Their application."""

FAUST_TABLE = "states"
"""Its table."""

ORDERS_VARIABLE = "HOLDFAST_CHAOS_ORDERS"
"""Where it finds its orders."""


@dataclass(frozen=True, slots=True)
class Control:
    """What is done to a loop on purpose.

    Attributes:
        mistake: the one that it makes; None for none.
        batches: whether the right loop gathers batches before it handles them.
        aborts: the chance that a transaction is aborted at its end, as brokers may have it.
        lost_answers: the chance that a transaction is committed, and the loop does not hear of it.
    """

    mistake: Mistake | None = None
    batches: bool = False
    aborts: float = 0.0
    lost_answers: float = 0.0


@dataclass(frozen=True, slots=True)
class Stream:
    """A topic of one kind of event.

    Attributes:
        topic: its name.
        event: the event's class, as module:Class.
        key: the event's field that is the key.
    """

    topic: str
    event: str
    key: str


@dataclass(frozen=True, slots=True)
class LoopOrders:
    """All that a loop, or Faust, needs to know.

    Attributes:
        engine: which one.
        servers: the brokers.
        worker: its name; the brokers know it as the client's id.
        group: the consumer group.
        transactional_id: of its producer.
        partitions: of every topic.
        replication: of every topic.
        handler: the workload's handler, as module:function.
        state: the class of its state, as module:Class.
        inputs: what it reads.
        outputs: what it writes.
        changelog: the compacted topic that its state comes back from.
        seed: of what happens by chance.
        control: what is done to it on purpose.
        status: descriptor of the status pipe; None for none.
    """

    engine: str
    servers: str
    worker: str
    group: str
    transactional_id: str
    partitions: int
    replication: int
    handler: str
    state: str
    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]
    changelog: str
    seed: int = 0
    control: Control = field(default_factory=Control)
    status: int | None = None

    def to_json(self) -> str:
        """The orders as a command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LoopOrders:
        """Read the orders from the command line."""
        raw: dict[str, Any] = json.loads(text)
        for name in ("inputs", "outputs"):
            raw[name] = tuple(Stream(**stream) for stream in raw[name])
        control = raw["control"]
        mistake = control["mistake"] and Mistake(control["mistake"])
        return cls(**{**raw, "control": Control(**{**control, "mistake": mistake})})
