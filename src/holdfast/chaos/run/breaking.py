"""The phase of a run in which things are broken, until all of them are whole again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.chaos.experiment import PlannedFault
from holdfast.chaos.run.aborting import Limits
from holdfast.chaos.run.faults import FaultMaker
from holdfast.chaos.run.nemesis import OVERDUE_S, Done, Nemesis
from holdfast.chaos.run.scene import Scene
from holdfast.chaos.run.surroundings import Surroundings
from holdfast.chaos.run.waiting import LOOK_S, steady
from holdfast.chaos.run.whom import Whom
from holdfast.chaos.workloads.base import Offering
from holdfast.errors import HoldfastError


@dataclass(frozen=True)
class Broken:
    """What was broken.

    Attributes:
        zero: time 0, on the monotonic clock.
        done: faults that were tried.
    """

    zero: float
    done: Sequence[Done] = ()

    @property
    def faults(self) -> Sequence[Done]:
        """Those that were done, or failed, by their beginnings; without those left out."""
        return sorted((done for done in self.done if not done.left_out), key=lambda done: done.began)

    @property
    def left_out(self) -> Sequence[Done]:
        """Those that were not done: another one had their target, or nobody had their role."""
        return [done for done in self.done if done.left_out]


def break_things(scene: Scene, plan: Sequence[PlannedFault], load: Offering) -> Broken:
    """Do what is planned while the load lasts, undo it, and wait until all is whole and steady.

    Raises:
        HoldfastError: the load came to grief, or brokers cannot be started again.
    """
    zero = time.monotonic()
    limits = Limits(scene.experiment.abort, scene.watch, scene.parts, scene.settings.folder)
    surroundings = Surroundings.of(
        scene.lab,
        scene.workers,
        scene.parts.owners,
        scene.workload,
        scene.groups,
        scene.settings.prefix,
    )
    maker = FaultMaker(scene.lab, scene.workers, Whom(surroundings), scene.gates)
    scene.told.phase("break things")
    # By chance each has its period: one that waited would reach into the next, which may be a quiet one.
    patience_s = OVERDUE_S if scene.experiment.mix is None else 0.0
    with Nemesis(plan, maker, scene.lab.journal, zero, patience_s=patience_s) as nemesis:
        _last(scene, nemesis, load, limits, zero)
    broken = Broken(zero, done=nemesis.done)
    note_what_was_not_done(scene, broken, len(plan))
    for done in broken.faults:
        done.note_in(scene.recorder)
    scene.told.phase("heal")
    _heal(scene)
    steady(scene, "after the last fault")
    return broken


def _last(scene: Scene, nemesis: Nemesis, load: Offering, limits: Limits, zero: float) -> None:
    """Let the faults happen until the time limit, the end of the load, or one of the limits."""
    end = zero + scene.experiment.time_limit_ms / 1000
    while (now := time.monotonic()) < end and not load.has_ended:
        load.check()
        scene.told.tick(now - zero, load, nemesis.done, sum(scene.parts.lag))
        if (reason := limits.exceeded()) is not None:
            scene.trouble.append(f"given up after {now - zero:.0f} s: {reason}")
            return
        time.sleep(LOOK_S)


def note_what_was_not_done(scene: Scene, broken: Broken, planned: int) -> None:
    """Tell which faults of a plan were not done.

    Where they come by chance, it is chance, too, that one cannot be done; but a run without any is none.
    """
    for done in broken.left_out if scene.experiment.mix is None else ():
        at_s = done.planned.at_ms / 1000
        scene.trouble.append(f"{done.planned.kind.name} at {at_s:g} s was not done: {done.left_out}")
    if planned and not broken.faults and not scene.trouble:
        scene.trouble.append(f"none of {planned} planned faults could be done")
    missing = planned - len(broken.done)
    if missing and not scene.trouble:
        scene.trouble.append(f"{missing} of {planned} planned faults were not begun")


def _heal(scene: Scene) -> None:
    """Start whatever is not up, and wait for it."""
    for name in scene.lab.brokers.names:
        scene.lab.brokers.start(name)
    scene.start_workers()
    try:
        scene.workers.wait_until_whole(scene.experiment.steady_state.reached_within_ms / 1000)
    except HoldfastError as error:
        scene.trouble.append(f"after the last fault: {error}")
