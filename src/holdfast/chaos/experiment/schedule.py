"""What a run will do, and when: a pure function of the experiment and a seed.

The same seed gives the same plan everywhere. Of Python's `random` only `Random.random()` promises that
("Notes on Reproducibility" in its documentation); `choice`, `shuffle`, `sample` and `randrange` may change,
so everything here is made from single draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from holdfast.chaos.experiment.catalogue import FaultKind
from holdfast.chaos.experiment.fields import Value
from holdfast.chaos.experiment.model import Experiment, Fault, Mix, WeightedFault
from holdfast.chaos.experiment.overlap import undo_each_other
from holdfast.chaos.experiment.targets import Target

T = TypeVar("T")


@dataclass(frozen=True)
class PlannedFault:
    """One fault of a run.

    Attributes:
        at_ms: when it begins, from time 0 on.
        for_ms: how long it lasts; None for an instant.
        fault: what is done, to whom.
        draw: decides among several that a target may mean (`any`, `minority`, ...), from 0 to below 1; see
            `drawn`.
    """

    at_ms: int
    for_ms: int | None
    fault: Fault
    draw: float

    @property
    def kind(self) -> FaultKind:
        """The kind of fault."""
        return self.fault.kind

    @property
    def target(self) -> Target | None:
        """Whom it hits; None for a kind that has no target."""
        return self.fault.target

    @property
    def parameters(self) -> Mapping[str, Value | None]:
        """The kind's own keys: durations in milliseconds, bandwidths in bits per second."""
        return self.fault.parameters

    @property
    def end_ms(self) -> int:
        """When it is undone; for an instant, when it happens."""
        return self.at_ms + (self.for_ms or 0)


def schedule(experiment: Experiment, seed: int) -> tuple[PlannedFault, ...]:
    """Return the faults of a run in the order of their beginnings.

    Args:
        experiment: the experiment.
        seed: which of its runs; 0 or more.
    """
    chance = Random(seed)
    planned = [(start, turn.for_ms, turn.fault) for turn in experiment.time_line for start in turn.starts()]
    if experiment.mix is not None:
        planned += _by_chance(experiment.mix, experiment.choices, experiment.time_limit_ms, chance)
    planned.sort(key=lambda it: it[0])  # stable: the order of the file decides between two
    return tuple(PlannedFault(*it, draw=chance.random()) for it in planned)


def drawn(candidates: Sequence[T], count: int, draw: float) -> tuple[T, ...]:
    """Choose `count` of the candidates, evenly, by one draw.

    The runner gives them in a fixed order, such as that of their numbers, so that a repeated run with the
    same cluster hits the same ones.
    """
    chance = Random(int(draw * 2**53))
    return tuple(_shuffled(candidates, chance)[:count])


def periods(mix: Mix, time_limit_ms: int) -> tuple[int, int]:
    """Return how many periods a run has, and how many of them are quiet: at least one is not."""
    count = (time_limit_ms - mix.clean_start_ms - mix.calm_end_ms) // mix.every_ms
    return count, min(int(count * mix.quiet + 0.5), count - 1)


def _by_chance(
    mix: Mix, choices: Sequence[WeightedFault], time_limit_ms: int, chance: Random
) -> list[tuple[int, int | None, Fault]]:
    count, quiet = periods(mix, time_limit_ms)
    loud = sorted(_shuffled(range(count), chance)[quiet:])
    planned = []
    for period in loud:
        begin_ms = mix.clean_start_ms + period * mix.every_ms
        for fault in _chosen(choices, 1 + _below(mix.at_once, chance), chance):
            lasting_ms = _lasting(mix, chance) if fault.kind.lasts else None
            room_ms = mix.every_ms - (lasting_ms or 1)
            planned.append((begin_ms + _below(room_ms + 1, chance), lasting_ms, fault))
    return planned


def _lasting(mix: Mix, chance: Random) -> int:
    return mix.lasting.min_ms + _below(mix.lasting.max_ms - mix.lasting.min_ms + 1, chance)


def _chosen(choices: Sequence[WeightedFault], count: int, chance: Random) -> list[Fault]:
    """Choose faults by weight that do not undo each other; fewer, where there are not as many."""
    chosen: list[Fault] = []
    left = list(choices)
    while left and len(chosen) < count:
        fault = _weighted(left, chance)
        chosen.append(fault)
        left = [it for it in left if not (it.fault is fault or undo_each_other(it.fault, fault))]
    return chosen


def _weighted(choices: Sequence[WeightedFault], chance: Random) -> Fault:
    point = _below(sum(it.weight for it in choices), chance)
    for choice in choices:
        point -= choice.weight
        if point < 0:
            return choice.fault
    raise AssertionError("the point is below the sum of the weights")


def _shuffled(items: Sequence[T], chance: Random) -> list[T]:
    """The items in a random order (Fisher and Yates)."""
    shuffled = list(items)
    for last in range(len(shuffled) - 1, 0, -1):
        other = _below(last + 1, chance)
        shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
    return shuffled


def _below(bound: int, chance: Random) -> int:
    """Return a whole number from 0 to below `bound`."""
    return int(chance.random() * bound)
