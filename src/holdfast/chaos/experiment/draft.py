"""What could be made of a file so far: the parts without mistakes, for checks that go on past the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from holdfast.chaos.experiment.entries import Entry, invariant, timed_fault, weighted_fault
from holdfast.chaos.experiment.model import (
    Abort,
    Cluster,
    Declaration,
    Experiment,
    Fault,
    Mix,
    OwnInvariant,
    SteadyState,
    TimedFault,
    WeightedFault,
    Workload,
)
from holdfast.chaos.experiment.sections import Section, read_section
from holdfast.declaration.source import Location, Problem, Source

T = TypeVar("T")


class Placed(NamedTuple, Generic[T]):
    """A value, and where in the file it stands."""

    at: Location
    value: T


@dataclass(frozen=True)
class Draft:
    """The parts of an experiment; None, or missing in a list, is what has mistakes of its own.

    Attributes:
        keys: the keys of the top level.
        head: what stands there.
        cluster: what is broken.
        workload: what goes on meanwhile.
        steady_state: what "it works" means.
        mix: how faults come by chance; None also where they do not.
        abort: when a run is given up.
        time_line: the faults on the time line.
        choices: the faults to choose from.
        invariants: the built-in invariants, by name.
        own_invariants: the experiment's own ones.
        problems: what is wrong in all the other parts.
    """

    keys: frozenset[str]
    head: Declaration | None
    cluster: Cluster | None
    workload: Workload | None
    steady_state: SteadyState | None
    mix: Mix | None
    abort: Abort | None
    time_line: tuple[Placed[TimedFault], ...]
    choices: tuple[Placed[WeightedFault], ...]
    invariants: tuple[Placed[str], ...]
    own_invariants: tuple[Placed[OwnInvariant], ...]
    problems: tuple[Problem, ...]

    @property
    def faults(self) -> tuple[Placed[Fault], ...]:
        """Every fault that has no mistake of its own, wherever it stands."""
        timed = (Placed(at, it.fault) for at, it in self.time_line)
        return (*timed, *(Placed(at, it.fault) for at, it in self.choices))

    def least_ms(self, timed: TimedFault) -> int:
        """How long a fault takes at least, on this cluster with this workload."""
        brokers = self.cluster.brokers if self.cluster else 1
        # An application has as many for each of its processors.
        return timed.least_ms(brokers, self.workload.workers if self.workload else 1)

    def experiment(self, source: Source) -> Experiment:
        """Return the experiment, which must have no mistakes."""
        head, cluster, workload = self.head, self.cluster, self.workload
        steady_state, abort = self.steady_state, self.abort
        assert head and cluster and workload and steady_state and abort, "a part without problems is there"  # noqa: PT018
        return Experiment(
            source=source,
            name=head.name,
            description=" ".join(head.description.split()),
            cluster=cluster,
            workload=workload,
            steady_state=steady_state,
            time_limit_ms=head.time_limit_ms,
            drain_ms=head.drain_ms,
            time_line=tuple(it for _, it in self.time_line),
            mix=self.mix,
            choices=tuple(it for _, it in self.choices),
            invariants=tuple(it for _, it in self.invariants),
            own_invariants=tuple(it for _, it in self.own_invariants),
            abort=abort,
            own_places={it.name: at for at, it in self.own_invariants},
        )


def draft_of(data: dict[str, Any]) -> Draft:
    """Read all parts of a file; never raises for what they hold."""
    head = read_section(Declaration, data, ())
    cluster = read_section(Cluster, data.get("cluster", {}), ("cluster",))
    workload: Section[Workload] = Section(None)
    if "workload" in data:
        workload = read_section(Workload, data["workload"], ("workload",))
    steady = read_section(SteadyState, data.get("steady_state", {}), ("steady_state",))
    abort = read_section(Abort, data.get("abort", {}), ("abort",))
    mix: Section[Mix] = Section(None)
    if "random" in data:
        # Also where nothing is given there: it must not be taken for an experiment that breaks nothing.
        mix = read_section(Mix, data["random"], ("random",))
    by_chance = data.get("random")
    in_mix = by_chance.get("choose") if isinstance(by_chance, dict) else None
    time_line, bad_timed = _entries(data.get("faults"), ("faults",), timed_fault)
    choices, bad_choices = _entries(in_mix, ("random", "choose"), weighted_fault)
    invariants, bad_invariants = _entries(data.get("invariants"), ("invariants",), invariant)
    parts = (head, cluster, workload, steady, abort, mix)
    return Draft(
        keys=frozenset(data),
        head=head.value,
        cluster=cluster.value,
        workload=workload.value,
        steady_state=steady.value,
        mix=mix.value,
        abort=abort.value,
        time_line=time_line,
        choices=choices,
        invariants=tuple(it for it in invariants if isinstance(it.value, str)),
        own_invariants=tuple(it for it in invariants if isinstance(it.value, OwnInvariant)),
        problems=(
            *(problem for part in parts for problem in part.problems),
            *(*bad_timed, *bad_choices, *bad_invariants),
        ),
    )


def _entries(
    data: object, at: Location, read: Callable[[object, Location], Entry]
) -> tuple[tuple[Placed[Any], ...], tuple[Problem, ...]]:
    """Read a list; one that is none is told by who reads the mapping that it stands in."""
    if not isinstance(data, list):
        return (), ()
    entries = [Placed((*at, index), read(item, (*at, index))) for index, item in enumerate(data)]
    usable = tuple(Placed(place, entry.value) for place, entry in entries if entry.value is not None)
    return usable, tuple(problem for _, entry in entries for problem in entry.problems)
