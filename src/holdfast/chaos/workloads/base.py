"""What a run needs of a workload, whatever it is."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from holdfast.chaos.history import Recorder
from holdfast.chaos.lab.workers import Workers
from holdfast.chaos.workloads.plans import WorkloadPlan
from holdfast.runtime.supervisor import WorkerSpec


class Offering(Protocol):
    """What is offered while the faults happen. Used in a ``with`` statement."""

    @property
    def published(self) -> int:
        """Events that were handed to a client."""
        ...

    @property
    def acknowledged(self) -> int:
        """Events that the brokers have."""
        ...

    @property
    def unknown(self) -> int:
        """Events whose fate is not known."""
        ...

    def check(self) -> None:
        """Raise what ended it before its time, if anything did."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Workload(Protocol):
    """One workload in one run."""

    @property
    def partitions(self) -> int:
        """Of every topic."""
        ...

    @property
    def source(self) -> str:
        """The topic whose leaders are the workload's leaders."""
        ...

    @property
    def inputs(self) -> Sequence[str]:
        """Topics that a group has to handle to their ends; none if there is no such group."""
        ...

    @property
    def outputs(self) -> Sequence[str]:
        """Topics that are written in transactions; the last one is what a user watches."""
        ...

    @property
    def shards(self) -> int:
        """How many shards the workers run together."""
        ...

    @property
    def plan(self) -> WorkloadPlan | None:
        """What its records mean to the fold; None if there is no fold."""
        ...

    @property
    def group(self) -> str:
        """The consumer group."""
        ...

    def instance_ids(self, worker: str) -> Sequence[str]:
        """Each `group.instance.id` that a worker may have."""
        ...

    def transactional_id(self, worker: str) -> str:
        """The `transactional.id` of a worker that was started."""
        ...

    def provision(self) -> None:
        """Create the topics."""
        ...

    def specs(self, workers: int) -> dict[str, WorkerSpec]:
        """How the workers are started, by their names."""
        ...

    def load(self, *, rate: int, keys: int, seed: int, recorder: Recorder, workers: Workers) -> Offering:
        """What is offered to it."""
        ...

    def record_end(self, recorder: Recorder) -> dict[str, int]:
        """Read all topics to their ends, into the history; return how many records each has."""
        ...
