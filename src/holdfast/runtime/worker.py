"""The worker: one thread that owns a consumer, its shards and the open unit.

Each turn of the loop takes over restored shards, takes the end of the commit in flight,
fetches, handles, and starts the next commit when it is due. Rebalances happen inside
the fetch, on the same thread, so nothing here needs a lock.

    Worker                        the loop, and what the group says about ownership
    ├── BatchHandler              a turn's records into the open unit, in time
    ├── Committer                 the open unit: seal, commit, take its end, roll back
    │   ├── CommitPipeline        one commit in flight, on a thread of its own
    │   ├── Search                which record of a refused unit it was
    │   └── Setbacks              how many units failed in a row
    └── ShardManager              claim, restore, rewind, rebuild, fail, release
        ├── Ownership             which shards, in which state
        ├── Restorer              changelogs into stores, on a thread of its own
        └── ShardInputs           what is read for them

Handler and committer use the shards; the shards know neither, and nobody knows the worker. What
takes commits and shards together, a rebalance and a store that fails, is done here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.errors import WorkerError
from holdfast.kafka.consumer import Batch, OwnershipListener, ShardConsumer
from holdfast.runtime.commit import CommitPipeline
from holdfast.runtime.committer import Committer
from holdfast.runtime.guarded_sink import SinkGate
from holdfast.runtime.handling import BatchHandler
from holdfast.runtime.inputs import ShardInputs
from holdfast.runtime.ownership import StoreFailure
from holdfast.runtime.peers import Peers
from holdfast.runtime.restore import Restorer
from holdfast.runtime.setbacks import FAILED_UNITS, Setbacks
from holdfast.runtime.shard_manager import ShardManager
from holdfast.runtime.stall import StallWatch
from holdfast.runtime.status import Reporter, WorkerStatus

log = logging.getLogger(__name__)

HAND_OVER_S = 5.0
"""Seconds for the rebalance that gives a stopping worker's shards to the others."""

PARTING_S = 2.0
"""The most seconds that a worker goes on working when it is to stop, until its shards can be taken over."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Times and sizes of a worker.

    Attributes:
        commit_interval: seconds from the start of one commit to the start of the next.
        cache_entries: decoded values in memory per table, over all shards of the worker.
        failed_units: units that may fail one after the other before the worker ends with the reason;
            its supervisor starts it again after a pause.
    """

    commit_interval: float
    cache_entries: int
    failed_units: int = FAILED_UNITS


class Worker(OwnershipListener):
    """Runs the shards of one processor that the group gives to this process.

    Args:
        plan: the processor.
        limits: its times and sizes.
        connect: makes the group's consumer, given the listener.
        restorer: restores shards.
        pipeline: commits units.
        reporter: told about progress and failures.
        peers: the processor's other workers.
        stall: notices shards that stand still.
        gate: lets records through to the processor's sink, if it has one.
    """

    def __init__(
        self,
        plan: ProcessorPlan,
        limits: WorkerLimits,
        connect: Callable[[OwnershipListener], ShardConsumer],
        restorer: Restorer,
        pipeline: CommitPipeline,
        reporter: Reporter,
        peers: Peers | None = None,
        stall: StallWatch | None = None,
        gate: SinkGate | None = None,
    ) -> None:
        self._restorer = restorer
        self._pipeline = pipeline
        self._reporter = reporter
        self._peers = peers
        self._stall = stall
        self._gate = gate
        self._stopping = False
        # The listener is not called before the first fetch.
        self._consumer = connect(self)
        self._inputs = ShardInputs(self._consumer, plan.inputs)
        self._shards = ShardManager(plan, limits.cache_entries, self._inputs, restorer, reporter)
        self._handler = BatchHandler(self._shards, self._inputs)
        self._committer = Committer(
            pipeline,
            self._shards,
            self._consumer.group_metadata,
            limits.commit_interval,
            Setbacks(plan.name, limits.failed_units),
            gate,
        )

    def observe(self) -> WorkerStatus:
        """How this worker is at this moment."""
        gate = self._gate
        return WorkerStatus(
            records=self._committer.records,
            commits=self._committer.commits,
            aborts=self._committer.aborts,
            dead_letters=self._committer.dead_letters,
            dropped=self._committer.dropped,
            shards=self._shards.states(),
            restored=self._shards.restored_records,
            restoring=self._shards.restoring(),
            standbys=self._restorer.standbys.shards,
            behind=self._restorer.standbys.behind,
            restore_waits=self._shards.why_restores_wait(),
            waits_for=gate.sink if gate is not None and gate.reason and self._is_waiting(gate) else "",
            why=gate.reason if gate is not None else "",
            breakers=gate.states if gate is not None else {},
        )

    def stop(self) -> None:
        """Ask the loop to end after its present turn; safe to call from a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Work until `stop` is called; then commit what is done, hand the shards over, and leave.

        Raises:
            Fenced: another process took this worker's slot.
            VersionRefused: this version of the processor must not work.
            WorkerError: none of its shards can go on.
            ClusterError: the brokers refuse this worker for good.
            SinkError: the processor's sink cannot be written to as it is declared, or does not return.
        """
        while not self._stopping:
            self.turn()
        others_wait = self._others_can_take_over()
        self._committer.settle()
        if others_wait:
            self._consumer.hand_over(HAND_OVER_S)
        self._consumer.close()

    def _others_can_take_over(self) -> bool:
        """Whether there are other workers to hand the shards to.

        Goes on working until that is known, and until they can join again at once: soon after a rebalance
        nobody would have the shards.
        """
        peers, consumer = self._peers, self._consumer
        if peers is None:
            return False
        deadline = time.monotonic() + PARTING_S
        while time.monotonic() < deadline:
            found = peers.has_others(consumer.rebalanced)
            if found is False or (found and not consumer.seconds_to_join):
                return found
            self.turn()
        return peers.has_others(consumer.rebalanced) is not False

    def close(self) -> None:
        """Let go of everything, also after a failure. A commit in flight is waited for."""
        self._restorer.close()
        self._pipeline.close()
        self._shards.close()
        if self._gate is not None:
            self._gate.close()

    def turn(self) -> None:
        """One turn of the loop.

        Raises:
            Fenced: another process took this worker's slot.
            WorkerError: none of its shards can go on.
            ClusterError: the brokers refuse this worker for good.
        """
        if self._shards.take_restored():
            self._committer.put_off()
        self._committer.take()
        batch = self._fetch()
        self._rebuild(self._handler.handle(batch, self._committer.unit))
        self._committer.advance()
        self._rebuild(self._shards.write_due())
        self._reporter.report(self)
        self._adopt_orphans()
        if self._stall is not None and not (self._gate is not None and self._holds_back(self._gate)):
            running = (task for _, task in self._shards.owned.running())
            self._stall.check(running, self._restorer.progress(), self._restorer.waiting())
        if self._shards.owned.all_failed:
            # What was handled before the records that stopped them is good.
            self._committer.settle()
            raise WorkerError(self._shards.why_all_stopped())

    def _fetch(self) -> Batch:
        most, wait = self._let_through(), self._committer.spare_time
        if most:
            return self._inputs.fetch(most, wait)
        time.sleep(wait)
        return Batch()

    def _is_held_up(self, gate: SinkGate) -> bool:
        """Whether the sink is in trouble and there is something that waits for it, as far as is known."""
        return gate.is_shut or (not gate.is_open and self._committer.tries_sink)

    def _is_waiting(self, gate: SinkGate) -> bool:
        """The same for people, for whom it is one outage from its beginning to its end."""
        return gate.is_troubled or self._is_held_up(gate)

    def _holds_back(self, gate: SinkGate) -> bool:
        """Whether shards stand still because their sink has to wait for them, or they for it."""
        return gate.is_pacing or self._is_held_up(gate)

    def _let_through(self) -> int:
        """How many records the next fetch may bring: while a sink is in trouble one, to try it.

        0 when it has just come back, and is not to have more for some milliseconds. Inputs are not suspended
        for that: the client would forget what it has fetched, and always the same ones would be first again.
        """
        gate, committer = self._gate, self._committer
        running = {task.partition: task.positions for _, task in self._shards.owned.running()}
        self._inputs.confine(committer.search.shards(running))
        most = min(self._handler.fetch_records, committer.search.most)
        if gate is None:
            return most
        gate.look(running)
        if committer.must_wait_for_sink if gate.is_open else (gate.is_shut or committer.tries_sink):
            self._inputs.suspend(running)
            return 1
        self._inputs.resume()
        return min(most, gate.room(len(committer.unit.writes))) if gate.is_open else 1

    def _adopt_orphans(self) -> None:
        """Have the group hand out its shards anew when some of them belong to nobody."""
        peers = self._peers
        if peers is not None and peers.orphans and peers.leads:
            log.warning("nobody has shards %s; this worker joins the group anew", sorted(peers.orphans))
            peers.forget_orphans()
            self._consumer.rejoin(HAND_OVER_S)

    def _rebuild(self, failure: StoreFailure | None) -> None:
        """A store cannot be read or written: everything uncommitted is done again, the shard restored."""
        if failure is None:
            return
        log.warning("shard %d: %s", failure.shard.claim.partition, failure.error)
        self._committer.settle(commit_open=False)
        # The open unit may hold outputs of this shard whose positions will never be committed with it.
        self._committer.roll_back()
        self._shards.rebuild(failure)

    # -- ownership; called inside a fetch

    def assigned(self, partitions: list[int]) -> None:
        """The group gave us shards: restore them first."""
        self._shards.claim(partitions)

    def revoked(self, partitions: list[int]) -> None:
        """The group takes shards: commit what is done, then let go of them."""
        self._committer.settle()
        self._shards.release(partitions)

    def lost(self, partitions: list[int]) -> None:
        """The group took shards without us: whatever was not committed is void."""
        log.warning("shards %s were taken while this worker was away", partitions)
        self._committer.settle(commit_open=False)
        self._shards.release(partitions)
        self._committer.roll_back()
