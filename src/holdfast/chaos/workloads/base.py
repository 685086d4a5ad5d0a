"""What a run needs of a workload, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from holdfast.chaos.history import Recorder
from holdfast.chaos.lab.workers import Workers
from holdfast.chaos.workloads.groups import GroupPlan, TopicSize
from holdfast.chaos.workloads.plans import WorkloadPlan
from holdfast.checks import CheckResult
from holdfast.runtime.supervisor import WorkerSpec

FRESH_S = 1.0
"""An output is fresh, for the table of recoveries, when its input was published so many seconds ago."""


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
    def has_ended(self) -> bool:
        """Whether there is nothing more to offer."""
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
    def source(self) -> str:
        """The topic whose leaders are the workload's leaders."""
        ...

    @property
    def watched(self) -> TopicSize:
        """The output that a user watches."""
        ...

    @property
    def fresh_s(self) -> float:
        """An output is fresh, for the table of recoveries, when its input was published so lately."""
        ...

    @property
    def outputs(self) -> Sequence[str]:
        """Topics that are written in transactions."""
        ...

    def groups(self, workers: int) -> Sequence[GroupPlan]:
        """Its consumer groups, with at most `workers`; the first one is the one that roles are about."""
        ...

    @property
    def group(self) -> str:
        """The consumer group that roles are about."""
        ...

    @property
    def transactional_id(self) -> str:
        """The `transactional.id` of worker 0."""
        ...

    @property
    def shards(self) -> Mapping[str, int]:
        """How many shards the workers of each processor run together."""
        ...

    @property
    def plan(self) -> WorkloadPlan | None:
        """What its records mean to the fold; None if there is no fold."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a report has to tell of it, beside what every experiment says."""
        ...

    def names(self, workers: int) -> Sequence[str]:
        """The workers that are up when all is well, if the experiment says `workers`."""
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

    def checks(self) -> tuple[CheckResult, ...]:
        """Check on the brokers what it claims of itself, when all is over; nothing if it claims nothing."""
        ...
