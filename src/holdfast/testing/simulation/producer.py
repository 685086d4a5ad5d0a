"""A simulated `confluent_kafka.Producer`: idempotent or transactional, as librdkafka behaves.

It sends in the background, one batch of a partition at a time, sends again what was not answered, and gives
up what was not taken within `delivery.timeout.ms`. What it was told in a transaction decides what it may do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from holdfast.kafka.partitioner import partition_of
from holdfast.record import TopicPartition
from holdfast.testing.simulation.brokers import (
    NO_ANSWER,
    OFFSETS_TOPIC,
    PASSING,
    RETRY_S,
    STATE_TOPIC,
    internal,
)
from holdfast.testing.simulation.client import Client, SimCluster, client_error, raised
from holdfast.testing.simulation.groups import Standing
from holdfast.testing.simulation.kernel import Process, Signal
from holdfast.testing.simulation.log import Refused, Row, SimMessage

_FATAL = frozenset({"PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "INVALID_TXN_STATE"})
"""Answers after which a transactional client does nothing any more."""

_CUT_S = 0.2
"""Waits from here on are cut into pieces by confluent-kafka, which goes on after a fatal error."""

_ID_RETRY_S = 0.5
"""Seconds after which a client by itself asks again for its transactional id."""

_BATCH = 500
_LINGER_S = 0.01

Callback = Callable[[Any, Any], None]
Waiting = tuple[Row, Callback | None]
"""A record that was not acknowledged yet, and who wants to know."""


class SimProducer(Client):
    """A producer.

    Args:
        cluster: whom it writes to.
        process: where it lives.
        settings: librdkafka properties.
    """

    def __init__(self, cluster: SimCluster, process: Process, settings: Mapping[str, Any]) -> None:
        super().__init__(cluster, process, settings)
        self._id: str | None = settings.get("transactional.id")
        self._delivery_s = float(settings.get("delivery.timeout.ms", 120_000)) / 1000
        self._producer, self._epoch = self._stand_alone() if self._id is None else (-1, -1)
        self._coordinator = internal(STATE_TOPIC, self._id or "")
        self._state = "new" if self._id else "plain"
        self._queues: dict[TopicPartition, list[Waiting]] = {}
        self._busy: dict[TopicPartition, list[Waiting]] = {}
        self._sequences: dict[TopicPartition, int] = {}
        self._added: set[TopicPartition] = set()
        self._adding = False
        self._has_offsets = False
        self._round = 0
        self._pumping = False
        self._expiring = False
        self._failed: str | None = None
        self._fatal: str | None = None
        self._is_untold = False
        self._waited_until = -1.0
        self._reports: list[tuple[Callback, Any, Any]] = []
        self._drained = Signal(self.kernel)
        self._id_answer: tuple[list[Any], Signal] | None = None

    def _stand_alone(self) -> tuple[int, int]:
        return 500_000 + self.kernel.rng.randrange(1 << 40), 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values())) + sum(map(len, self._busy.values()))

    # -- records

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        callback: Callback | None = None,
        on_delivery: Callback | None = None,
        timestamp: int = 0,
        headers: Sequence[tuple[str, Any]] | None = None,
    ) -> None:
        """Take a record.

        Raises:
            KafkaException: the transaction takes nothing more.
        """
        self.kernel.step("produce")
        if self._fatal:
            raise raised("_FATAL", "simulated: fatal error")
        if self._failed or self._state not in ("plain", "open"):
            raise raised("_STATE", f"simulated: cannot produce when {self._failed or self._state}")
        if partition < 0:
            count = self.brokers.partitions(topic)
            partition = partition_of(key, count) if key is not None else self.kernel.rng.randrange(count)
        given = [(name, v.encode() if isinstance(v, str) else v) for name, v in headers or ()]
        row: Row = (key, value, timestamp or int(self.kernel.now * 1000), given or None)
        wanted = callback or on_delivery or self.settings.get("on_delivery")
        self._queues.setdefault(TopicPartition(topic, partition), []).append((row, wanted))
        self._pump_after(_LINGER_S)
        if not self._expiring:
            self._expiring = True
            self.kernel.at(self._delivery_s, self._expire, self._round, process=self.process)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> None:  # noqa: ARG002
        """Ask some broker for its metadata: the answer does not matter, the connection does."""
        self.kernel.step("metadata")
        self.kernel.sleep(0.002)

    def poll(self, timeout: float = 0.0) -> int:
        """Deliver reports.

        Raises:
            KafkaException: a fatal error that no other call has told.
        """
        self.kernel.sleep(min(max(timeout, 0.0), 0.01))
        self._tell_fatal()
        return self._report()

    def flush(self, timeout: float = -1) -> int:
        """Wait until everything is acknowledged or given up; returns what is left.

        Raises:
            KafkaException: a fatal error that no other call has told.
            SystemError: the same, in a wait that goes on after it.
        """
        self._await_records(timeout if timeout >= 0 else 1e9)
        if self._is_untold and self._reports and not 0 <= timeout < _CUT_S:
            self._is_untold = False
            self._reports.clear()
            raise SystemError("simulated: a callback returned a result with an exception set")
        self._tell_fatal()
        self._report()
        return len(self)

    def _await_records(self, timeout: float) -> None:
        if self.kernel.now != self._waited_until:
            # One that goes on with a wait is no other step.
            self.kernel.step("flush")
        deadline = self.kernel.now + timeout
        self._pump_after(0.0)
        while len(self) and not self._failed and not self._fatal and self.kernel.now < deadline:
            self.kernel.wait(deadline - self.kernel.now, self._drained)
        self._waited_until = self.kernel.now

    def purge(self) -> None:
        """Forget what was not acknowledged; who wants to know hears of it with the next reports."""
        self._round += 1
        self._report_failed("_PURGE_QUEUE")
        self._queues.clear()
        self._busy.clear()
        self._adding = self._expiring = False

    def _tell_fatal(self) -> None:
        """Raise a fatal error out of the first call that comes upon it; the reports stay for the next."""
        if self._is_untold:
            self._is_untold = False
            self._raise_failure()

    def _report(self) -> int:
        reports, self._reports = self._reports, []
        for callback, error, message in reports:
            callback(error, message)
        return len(reports)

    def _pump_after(self, delay: float) -> None:
        if not self._pumping:
            self._pumping = True
            self.kernel.at(delay, self._pump, process=self.process)

    def _pump(self) -> None:
        self._pumping = False
        if self._failed or self._fatal:
            return
        if self._id is not None and not self._adding:
            new = tuple(place for place, queue in self._queues.items() if queue and place not in self._added)
            if new:
                self._add(new)
        for place, queue in self._queues.items():
            if queue and place not in self._busy and (self._id is None or place in self._added):
                self._busy[place], queue[:_BATCH] = queue[:_BATCH], []
                self._send(place, self._busy[place], self._sequences.get(place, 0), self._round)

    def _add(self, places: tuple[TopicPartition, ...]) -> None:
        self._adding = True
        round_ = self._round
        name, producer, epoch = self._id, self._producer, self._epoch
        assert name is not None

        def added(answer: Any) -> None:
            self._heard(answer)
            if round_ != self._round:
                return
            self._adding = False
            if not isinstance(answer, Refused):
                self._added.update(places)
                self._pump_after(0.0)
            elif answer.code in PASSING:
                self._pump_after(RETRY_S)
            else:
                self._fail(answer.code)

        self.brokers.send(
            self.process,
            self._coordinator,
            lambda: self.cluster.transactions.add(name, producer, epoch, places),
            added,
        )

    def _send(self, place: TopicPartition, batch: list[Waiting], sequence: int, round_: int) -> None:
        if round_ != self._round or self._failed or self._fatal:
            return
        rows = [row for row, _ in batch]
        producer, epoch, transactional = self._producer, self._epoch, self._id is not None

        def write() -> int:
            if not self.brokers.writable:
                raise Refused("NOT_ENOUGH_REPLICAS")
            if transactional:
                self.cluster.transactions.verify(producer, epoch, place)
            log = self.brokers.logs[place]
            first = log.produce(producer, epoch, sequence, rows, self.kernel.now, transactional=transactional)
            if not transactional:
                self.brokers.moved.fire()
            return first

        def written(answer: Any) -> None:
            self._heard(answer)
            if round_ != self._round:
                return
            if not isinstance(answer, Refused):
                self._written(place, batch, sequence, answer)
            elif answer.code in PASSING:
                self.kernel.at(RETRY_S, self._send, place, batch, sequence, round_, process=self.process)
            else:
                self._fail(answer.code)

        self.brokers.send(self.process, place, write, written)

    def _written(self, place: TopicPartition, batch: list[Waiting], sequence: int, first: int) -> None:
        del self._busy[place]
        self._sequences[place] = sequence + len(batch)
        for number, (row, callback) in enumerate(batch):
            if callback is not None:
                message = SimMessage(*place, first + number, key=row[0], value=row[1])
                self._reports.append((callback, None, message))
        if len(self):
            self._pump_after(0.0)
        else:
            self._drained.fire()

    def _expire(self, round_: int) -> None:
        if round_ == self._round:
            self._expiring = False
            if len(self):
                self._fail("_MSG_TIMED_OUT")

    def _fail(self, code: str) -> None:
        if self._id is not None and code in _FATAL and code != "INVALID_TXN_STATE":
            self._end_fatally(code)
        else:
            self._failed = code
        # What is given up is no longer waiting, whatever is still on its way.
        self._round += 1
        self._report_failed(code)
        self._queues.clear()
        self._busy.clear()
        self._drained.fire()

    def _end_fatally(self, code: str) -> None:
        self._is_untold = self._is_untold or self._fatal is None
        self._fatal = self._fatal or code

    def _report_failed(self, code: str) -> None:
        error = client_error(code)
        for place, waiting in [*self._busy.items(), *self._queues.items()]:
            for row, callback in waiting:
                if callback is not None:
                    message = SimMessage(*place, -1, key=row[0], value=row[1])
                    self._reports.append((callback, error, message))

    # -- transactions

    def init_transactions(self, timeout: float) -> None:
        """Take the transactional id over. Called again, it asks at once, unless an answer is on its way.

        Raises:
            KafkaException: no answer in time; retriable.
        """
        self.kernel.step("init transactions")
        deadline = self.kernel.now + timeout
        while isinstance(answer := self._ask_for_id(deadline), Refused):
            if answer.code not in PASSING:
                raise raised(answer.code)
            if self.kernel.now + _ID_RETRY_S > deadline:
                self.kernel.sleep(max(deadline - self.kernel.now, 0.0))
                raise raised("_TIMED_OUT", retriable=True)
            self.kernel.sleep(_ID_RETRY_S)
        self._producer, self._epoch = answer
        self._sequences.clear()
        self._state = "ready"

    def _ask_for_id(self, deadline: float) -> Any:
        if self._id_answer is None:
            box: list[Any] = []
            signal = Signal(self.kernel)

            def answered(found: Any) -> None:
                box.append(found)
                signal.fire()

            name, limit = self._transactional()
            self._id_answer = box, signal
            self.brokers.send(
                self.process,
                self._coordinator,
                lambda: self.cluster.transactions.initialise(name, limit),
                answered,
            )
        box, signal = self._id_answer
        while not box:
            if not self.kernel.wait(deadline - self.kernel.now, signal) and not box:
                raise raised("_TIMED_OUT", retriable=True)
        self._id_answer = None
        return box[0]

    def _transactional(self) -> tuple[str, float]:
        assert self._id is not None
        return self._id, float(self.settings.get("transaction.timeout.ms", 60_000)) / 1000

    def _initialise(self, timeout: float) -> None:
        name, limit = self._transactional()
        self._producer, self._epoch = self.ask(
            self._coordinator, lambda: self.cluster.transactions.initialise(name, limit), timeout
        )
        self._sequences.clear()

    def begin_transaction(self) -> None:
        """Open a transaction, here only."""
        self._require("ready")
        self._state = "open"
        self._added = set()
        self._has_offsets = self._expiring = False
        self._round += 1

    def send_offsets_to_transaction(
        self, positions: Sequence[Any], standing: Standing, timeout: float
    ) -> None:
        """Add positions to the transaction.

        Raises:
            KafkaException: refused, or no answer in time.
        """
        self.kernel.step("send offsets")
        self._require("open")
        self._raise_failure()
        deadline = self.kernel.now + timeout
        name, producer, epoch = self._id, self._producer, self._epoch
        offsets = {TopicPartition(p.topic, p.partition): (p.offset, p.metadata or "") for p in positions}
        transactions, groups = self.cluster.transactions, self.cluster.groups
        assert name is not None
        self._has_offsets = True
        self._end_call(
            self._coordinator, lambda: transactions.add(name, producer, epoch, (), standing.group), deadline
        )
        self._end_call(
            internal(OFFSETS_TOPIC, standing.group),
            lambda: groups.commit_in_transaction(standing, producer, epoch, offsets),
            deadline,
        )

    def commit_transaction(self, timeout: float) -> None:
        """Commit. After a timeout it may be called again, and only that.

        Raises:
            KafkaException: refused, to be aborted, or no answer in time.
        """
        self.kernel.step("commit transaction")
        self._require("open", "committing")
        deadline = self.kernel.now + timeout
        self._await_records(timeout)
        self._report()
        self._raise_failure()
        if len(self):
            raise raised("_TIMED_OUT", retriable=True)
        self._state = "committing"
        self._end(deadline, commit=True)
        self.kernel.step("committed")
        self._state = "ready"

    def abort_transaction(self, timeout: float) -> None:
        """Abort. What was on its way may still arrive, so the epoch is raised then.

        Raises:
            KafkaException: refused, or no answer in time.
        """
        self.kernel.step("abort transaction")
        self._require("open", "aborting")
        deadline = self.kernel.now + timeout
        is_unsure = bool(self._busy or self._failed or self._adding)
        self.purge()
        self._report()
        self._state = "aborting"
        self._end(deadline, commit=False)
        if is_unsure:
            try:
                self._initialise(deadline - self.kernel.now)
            except Exception:
                # Asked again, it must not forget.
                self._failed = self._failed or "_TIMED_OUT"
                raise
        self._failed = None
        self._state = "ready"

    def _end(self, deadline: float, *, commit: bool) -> None:
        if not self._added and not self._has_offsets:
            return
        name, producer, epoch = self._id, self._producer, self._epoch
        assert name is not None
        self._end_call(
            self._coordinator,
            lambda: self.cluster.transactions.end(name, producer, epoch, commit=commit),
            deadline,
        )
        self._added, self._has_offsets = set(), False

    def _end_call(self, place: TopicPartition, do: Callable[[], Any], deadline: float) -> None:
        try:
            self.brokers.call(self.process, place, do, deadline, self._heard)
        except Refused as refused:
            if refused.code == "_TIMED_OUT":
                raise raised("_TIMED_OUT", retriable=True) from refused
            if refused.code in _FATAL:
                self._end_fatally(refused.code)
            else:
                self._failed = refused.code
            self._raise_failure()

    def _heard(self, answer: Any) -> None:
        """Tell of a lost connection where the client does it: in its log."""
        if answer is NO_ANSWER and "logger" in self.settings:
            self.settings["logger"].log(6, "%s", "FAIL", "simulated: Disconnected")

    def _raise_failure(self) -> None:
        if self._fatal is not None:
            code = "_FENCED" if self._fatal != "INVALID_TXN_STATE" else self._fatal
            raise raised(code, f"simulated: {self._fatal}", fatal=True)
        if self._failed is not None:
            raise raised(self._failed, txn_requires_abort=True)

    def _require(self, *states: str) -> None:
        if self._fatal:
            self._raise_failure()
        if self._state not in states:
            raise raised("_STATE", f"simulated: not possible when {self._state}")
