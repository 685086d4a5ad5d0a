"""The transaction coordinator: producer ids and epochs, open transactions, markers, timeouts.

Version 1 of the protocol, which is what librdkafka speaks: the epoch changes only when a producer is
initialised or a transaction times out, so a request that comes late from an earlier transaction of the same
producer looks like one of the present transaction (KIP-890 names the holes). Brokers do verify that a
partition was added to the transaction before they take a record for it, as they do since 3.6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from holdfast.record import TopicPartition
from holdfast.testing.simulation.brokers import OFFSETS_TOPIC, STATE_TOPIC, Brokers, internal
from holdfast.testing.simulation.groups import Groups
from holdfast.testing.simulation.log import Refused

SWEEP_S = 10.0
"""Seconds between two looks for transactions that have timed out
(`transaction.abort.timed.out.transaction.cleanup.interval.ms`)."""


class Stage(Enum):
    """Where a transactional id is."""

    EMPTY = "empty"
    ONGOING = "ongoing"
    COMMITTING = "prepare commit"
    ABORTING = "prepare abort"
    COMMITTED = "complete commit"
    ABORTED = "complete abort"


@dataclass(slots=True)
class Transactional:
    """One transactional id.

    Attributes:
        name: the id.
        producer: its producer id.
        epoch: the epoch that may write now.
        timeout: seconds that a transaction may be open.
        stage: where it is.
        began: when the open transaction began.
        places: partitions in it.
        groups: groups whose offsets are in it.
        left: markers to be written yet.
    """

    name: str
    producer: int
    epoch: int = -1
    timeout: float = 60.0
    stage: Stage = Stage.EMPTY
    began: float = 0.0
    places: set[TopicPartition] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    left: int = 0


class Transactions:
    """The coordinators of all transactional ids.

    Args:
        brokers: where markers are written.
        groups: told about offsets in transactions.
    """

    def __init__(self, brokers: Brokers, groups: Groups) -> None:
        self._brokers = brokers
        self._groups = groups
        self._kernel = brokers.kernel
        self.by_name: dict[str, Transactional] = {}
        self._by_producer: dict[int, Transactional] = {}
        self._kernel.at(SWEEP_S * self._kernel.rng.random(), self._sweep)

    # -- requests to a transactional id's coordinator

    def initialise(self, name: str, timeout: float) -> tuple[int, int]:
        """Take an id over: end its open transaction, fence all before; returns producer id and epoch."""
        self._require_replicas()
        each = self.by_name.get(name)
        if each is None:
            each = Transactional(name, producer=1000 + len(self.by_name))
            self.by_name[name] = self._by_producer[each.producer] = each
        if each.stage is Stage.ONGOING:
            each.epoch += 1
            self._end(each, commit=False)
        if each.stage in (Stage.COMMITTING, Stage.ABORTING):
            raise Refused("CONCURRENT_TRANSACTIONS")
        each.epoch += 1
        each.timeout = timeout
        each.stage = Stage.EMPTY
        return each.producer, each.epoch

    def add(
        self,
        name: str,
        producer: int,
        epoch: int,
        places: tuple[TopicPartition, ...],
        group: str | None = None,
    ) -> None:
        """Add partitions, or a group's offsets, to the open transaction; opens one if there is none."""
        self._require_replicas()
        each = self._checked(name, producer, epoch)
        if each.stage in (Stage.COMMITTING, Stage.ABORTING):
            raise Refused("CONCURRENT_TRANSACTIONS")
        if each.stage is not Stage.ONGOING:
            each.stage, each.began = Stage.ONGOING, self._kernel.now
        each.places.update(places)
        if group is not None:
            each.groups.add(group)

    def end(self, name: str, producer: int, epoch: int, *, commit: bool) -> None:
        """Decide the open transaction. Asked again about one that is decided so, the answer is the same."""
        self._require_replicas()
        each = self._checked(name, producer, epoch)
        done, under_way = (Stage.COMMITTED, Stage.COMMITTING) if commit else (Stage.ABORTED, Stage.ABORTING)
        if each.stage is Stage.ONGOING:
            self._end(each, commit=commit)
        elif each.stage is under_way:
            raise Refused("CONCURRENT_TRANSACTIONS")
        elif each.stage is not done:
            raise Refused("INVALID_TXN_STATE")

    def verify(self, producer: int, epoch: int, place: TopicPartition) -> None:
        """Refuse a record whose partition is not in its producer's open transaction."""
        each = self._by_producer.get(producer)
        if each is None:
            raise Refused("INVALID_PRODUCER_ID_MAPPING")
        if epoch != each.epoch:
            raise Refused("INVALID_PRODUCER_EPOCH")
        if each.stage is not Stage.ONGOING or place not in each.places:
            raise Refused("INVALID_TXN_STATE")

    def verify_group(self, producer: int, epoch: int, group: str) -> None:
        """Refuse offsets of a group that is not in its producer's open transaction."""
        each = self._by_producer.get(producer)
        if each is None:
            raise Refused("INVALID_PRODUCER_ID_MAPPING")
        if epoch != each.epoch:
            raise Refused("INVALID_PRODUCER_EPOCH")
        if each.stage is not Stage.ONGOING or group not in each.groups:
            raise Refused("INVALID_TXN_STATE")

    @property
    def any_open(self) -> bool:
        """Whether some transaction has not ended everywhere."""
        return any(
            e.stage in (Stage.ONGOING, Stage.COMMITTING, Stage.ABORTING) for e in self.by_name.values()
        )

    def _checked(self, name: str, producer: int, epoch: int) -> Transactional:
        each = self.by_name.get(name)
        if each is None or each.producer != producer:
            raise Refused("INVALID_PRODUCER_ID_MAPPING")
        if epoch != each.epoch:
            raise Refused("PRODUCER_FENCED")
        return each

    def _require_replicas(self) -> None:
        if not self._brokers.writable:
            raise Refused("COORDINATOR_NOT_AVAILABLE")

    # -- the end of a transaction

    def _end(self, each: Transactional, *, commit: bool) -> None:
        each.stage = Stage.COMMITTING if commit else Stage.ABORTING
        each.left = len(each.places) + len(each.groups)
        self._kernel.say("transaction of", each.name, "epoch", each.epoch, each.stage.value)
        for place in sorted(each.places):
            self._mark_later(each, place, None, each.epoch, commit)
        for group in sorted(each.groups):
            self._mark_later(each, internal(OFFSETS_TOPIC, group), group, each.epoch, commit)
        if not each.left:
            self._complete(each, commit)

    def _mark_later(
        self, each: Transactional, place: TopicPartition, group: str | None, epoch: int, commit: bool
    ) -> None:
        rng = self._kernel.rng
        # Some markers take long: a leader is busy, or its log is. The others show the commit already.
        delay = rng.uniform(0.2, 3.0) if rng.random() < self._brokers.weather.slow else 0.002 * rng.random()
        self._kernel.at(delay, self._mark, each, place, group, epoch, commit)

    def _mark(
        self, each: Transactional, place: TopicPartition, group: str | None, epoch: int, commit: bool
    ) -> None:
        brokers = self._brokers
        coordinator = internal(STATE_TOPIC, each.name)
        if not (brokers.serves(place, None) and brokers.serves(coordinator, None) and brokers.writable):
            self._kernel.at(0.1, self._mark, each, place, group, epoch, commit)
            return
        if group is None:
            brokers.logs[place].mark(each.producer, epoch, self._kernel.now, commit=commit)
            brokers.moved.fire()
        else:
            self._groups.end(group, each.producer, commit=commit)
        each.left -= 1
        if not each.left:
            self._complete(each, commit)

    def _complete(self, each: Transactional, commit: bool) -> None:
        each.stage = Stage.COMMITTED if commit else Stage.ABORTED
        each.places.clear()
        each.groups.clear()

    def _sweep(self) -> None:
        now = self._kernel.now
        for each in self.by_name.values():
            coordinator = internal(STATE_TOPIC, each.name)
            if (
                each.stage is Stage.ONGOING
                and now - each.began > each.timeout
                and self._brokers.serves(coordinator, None)
                and self._brokers.writable
            ):
                each.epoch += 1
                self._end(each, commit=False)
        self._kernel.at(SWEEP_S, self._sweep)
