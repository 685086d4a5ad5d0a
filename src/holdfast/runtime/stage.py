"""What a unit goes through before its positions are committed on Kafka: a sink, or an async handler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast.record import Output
from holdfast.runtime.guards import Guard
from holdfast.sinks.base import Refusal, SinkBatch


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch.

    Attributes:
        refusals: records of which nothing came; they become dead letters.
        outputs: what came of the others, to be committed with their positions.
    """

    refusals: Sequence[Refusal] = ()
    outputs: Sequence[Output] = ()


class Stage(Protocol):
    """Takes batches, one at a time, on any thread.

    Attributes:
        name: of the downstream system, for messages.
        timeout: seconds that a batch should take at most; twice that is the limit.
        took_s: seconds that the last batch took that it wrote.
        keeps_positions: whether batches without writes are for it as well; see `Sink.keeps_positions`.
        guards: the breakers that its calls have to pass.
    """

    name: str
    timeout: float
    took_s: float
    keeps_positions: bool
    guards: Sequence[Guard]

    def write(self, batch: SinkBatch) -> Written:
        """Write a batch; see `Sink.write`.

        Raises:
            SinkDown: the system does not answer, or is not to be asked now.
            SinkFenced: a newer owner of a shard has written to it.
            SinkBehind: it has lost what it had taken.
            SinkError: it cannot be used as it is declared.
            RecordFailed: a record failed, or is refused, that is not to be set aside.
        """

    def close(self) -> None:
        """Let go of connections."""
