"""What happens on the brokers in one run, from the first topic to the last record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from holdfast.chaos.experiment import PlannedFault
from holdfast.chaos.run.breakers import BreakerWatch
from holdfast.chaos.run.breaking import Broken, break_things
from holdfast.chaos.run.ends import Ends, read_ends
from holdfast.chaos.run.fault_spans import blows_of
from holdfast.chaos.run.recovery import recoveries
from holdfast.chaos.run.result import Recovery, Sample
from holdfast.chaos.run.sampling import Sampler
from holdfast.chaos.run.scene import Scene
from holdfast.chaos.run.waiting import START_S, steady, until
from holdfast.chaos.workloads.base import Offering
from holdfast.errors import HoldfastError
from holdfast.topology.model import LEADER

BROKER_LOGS = "brokers"
"""Of a run's folder: where the brokers' logs are."""


class Course:
    """The phases of one run.

    Args:
        scene: what they share.

    Attributes:
        broken: what was broken, and when time 0 was.
        counts: of events and records.
        ends: what was read after the workers had stopped.
        is_complete: whether all that was offered was processed and read.
        breakers: states of the workers' circuit breakers.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.broken = Broken(time.monotonic())
        self.counts: dict[str, int] = {}
        self.ends = Ends()
        self.is_complete = False
        self.breakers = BreakerWatch(scene.workers.views)
        self._sampler: Sampler | None = None
        self._load_ended = 0.0

    def run(self, plan: Sequence[PlannedFault]) -> None:
        """All of them.

        Raises:
            HoldfastError: it could not be brought to its end.
        """
        try:
            self._with_brokers(plan)
        finally:
            self._save_logs()

    def _with_brokers(self, plan: Sequence[PlannedFault]) -> None:
        scene = self.scene
        scene.told.phase("start the workers")
        scene.workload.provision()
        with scene.workers:
            scene.start_workers()
            scene.workers.wait_until_whole(START_S)
            self._under_load(plan)
        # Whatever is lost or not: that a worker gave up is told.
        scene.trouble.extend(scene.workers.failures)
        # Each was started again, and the data may be right: a crash that no fault made is told all the same.
        self.counts |= {f"workers {how}": count for how, count in scene.workers.crashes.items()}
        scene.trouble.extend(
            f"the observer of the run made a mistake: {text}" for text in scene.parts.mistakes
        )
        scene.told.phase("read everything")
        self._read_all()

    def _under_load(self, plan: Sequence[PlannedFault]) -> None:
        scene, wanted = self.scene, self.scene.experiment.workload
        load = scene.workload.load(
            rate=wanted.rate,
            keys=wanted.keys,
            seed=scene.settings.seed,
            recorder=scene.recorder,
            workers=scene.workers,
        )
        with ExitStack() as stack:
            parts, watch = stack.enter_context(scene.parts), stack.enter_context(scene.watch)
            stack.enter_context(self.breakers)
            with load:
                self.broken = Broken(time.monotonic())
                self._sampler = stack.enter_context(Sampler(load, watch, parts))
                if steady(scene, "before the first fault"):
                    self.broken = break_things(scene, plan, load)
            self._note_load(load)
            scene.told.phase("process what is left")
            self._load_ended = time.monotonic()
            # Who leads publishes as well, as long as somebody does: the last of it is to be processed, too.
            scene.workers.stop_of(LEADER)
            stopped = time.monotonic()
            within = scene.experiment.drain_ms / 1000
            self.is_complete = until(scene, lambda: parts.is_drained(stopped), within, "all processed")

    def _note_load(self, load: Offering) -> None:
        """What was offered; and how much of the plan was left out, which chance may bring."""
        if load.has_ended:
            text = f"the load came to its end after {load.published:,} events, before the run did"
            self.scene.trouble.append(f"{text}; let its producers yield more (`workload.arguments`)")
        if self.scene.experiment.mix is not None and self.broken.left_out:
            self.counts["faults left out"] = len(self.broken.left_out)
        self.counts |= {"published": load.published, "acknowledged": load.acknowledged}

    def _read_all(self) -> None:
        self.ends = read_ends(self.scene)
        self.counts |= {f"records of {topic}": count for topic, count in self.ends.counts.items()}
        if self.ends.restarted:
            self.counts["brokers that had to be restarted in the end"] = len(self.ends.restarted)
        if self.ends.error:
            # What was recorded is judged all the same; what nobody could read is no loss.
            self.is_complete = False
            self.scene.trouble.append(f"not everything could be read: {self.ends.error}")

    def _save_logs(self) -> None:
        """Keep what the brokers have said; a run without it is as good as any."""
        try:
            self.scene.lab.save_logs(self.scene.settings.folder / BROKER_LOGS)
        except (OSError, HoldfastError) as error:
            self.scene.told.phase(f"the brokers' logs could not be kept: {error}")

    # -- what it was

    @property
    def load_s(self) -> float:
        """For how many seconds events were offered: from time 0 on, or at all if it was never reached."""
        return max(0.0, self._load_ended - self.broken.zero)

    def recovery(self) -> tuple[Recovery, ...]:
        """How the output went through the faults."""
        scene = self.scene
        return recoveries(
            blows_of(self.broken.faults),
            scene.watch.gaps(),
            scene.watch.stale(),
            (scene.parts.owners, scene.parts.leaders),
            self._load_ended,
            scene.workload.fresh_s,
        )

    def samples(self) -> tuple[Sample, ...]:
        """What the output was, in seconds since time 0."""
        return self._sampler.samples(self.broken.zero) if self._sampler is not None else ()
