"""Writing a unit in one transaction.

After an error whose outcome is not known (a timeout or a lost connection around the
commit) the client is never used again: librdkafka speaks EndTxn v1, without the
protection of KIP-890, so a delayed commit could end a later transaction. `reopen`
makes a new client under the same transactional id, which ends whatever was open, and
whose higher epoch refuses whatever is still on its way. The same holds for a client that
lost a connection and got over it by itself, even if its transaction ended well: see
`holdfast.kafka.lost_requests`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from threading import Lock, Thread
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast.errors import ClusterError, OutputRefused
from holdfast.kafka.departures import Departures
from holdfast.kafka.errors import FENCED, mapped, translate
from holdfast.kafka.lost_requests import LostRequests
from holdfast.kafka.positions import NoteOf, no_note, noted
from holdfast.kafka.refused import OF_RECORD, refusal_of
from holdfast.kafka.serving import flush, reason_of, serve
from holdfast.kafka.settings import client_log
from holdfast.kafka.takeover import take_over
from holdfast.kafka.unit_writer import ClientWriter, Ending, Outcome
from holdfast.record import TopicPartition

log = logging.getLogger(__name__)

_MEMBER_REFUSED = (
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
)
"""The coordinator's answer to the offsets of a member that the group has moved past. Nothing is in doubt
then: an abort ends the transaction, and the client is good for the next one."""
_OF_TOPIC = frozenset(
    {
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
"""Answers that another try does not change, but which are about the topic, or who writes to it."""
_REPORTED_UNITS = 64
"""Units after a refused one of which every record is reported: in one of them it is found which it was."""
_LONG_S = 1.0
"""Seconds after which the acknowledgement of records takes long: is a broker gone? That is asked then."""
_OFFSETS_S = 2.0
"""Seconds after which the answer to a unit's offsets, or to its commit, takes long, if a connection was lost
or a broker is gone."""
_SILENT_S = 3.0
"""Seconds after which the answer to a unit's offsets takes long in any case, at first. To ask again with
another client costs little. It doubles each time, for clusters that are only slow."""
_SILENT_AT_MOST_S = 8.0
"""Until it is that: most of what a transaction lives for."""
_REPLACEMENTS = 3
"""How many clients in a row may lose a connection before a unit begins on one that did."""


class _Unawaited(Exception):
    """Nobody waits for the answer any longer."""


class _Asked:
    """What one unit has asked for so far; somebody else may stop waiting until it asks to commit.

    Its block is the question for the offsets.

    Attributes:
        was_slow: whether its records took so long that a broker may have left meanwhile.
    """

    def __init__(self) -> None:
        self.was_slow = False
        self._lock = Lock()
        self._since = math.inf
        self._committing_since = math.inf
        self._is_unawaited = False

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since = math.inf

    @property
    def waited(self) -> float:
        """Seconds since the offsets were asked for; negative outside of the block."""
        return time.monotonic() - self._since

    @property
    def waited_for_commit(self) -> float:
        """Seconds since the commit was asked for; negative before that."""
        return time.monotonic() - self._committing_since

    def commit(self) -> None:
        """The commit is what comes next.

        Raises:
            _Unawaited: somebody has stopped waiting: it must not come.
        """
        with self._lock:
            if self._is_unawaited:
                raise _Unawaited
            self._committing_since = time.monotonic()

    def stop_waiting(self) -> bool:
        """Have the unit end with `_Unawaited`, without a commit; False when that was asked for already."""
        with self._lock:
            self._is_unawaited = self._committing_since == math.inf
            return self._is_unawaited


class TransactionalWriter(ClientWriter):
    """Writes units in Kafka transactions.

    The transactional id is taken over on a thread of its own, while shards are restored.

    Args:
        settings: client settings, `transactional.id` included.
        timeout: seconds that one call to the brokers may take.
        note_of: what is noted beside the inputs' positions.
        replaces: whether a client that lost a connection is replaced by itself. Who may have a successor
            under the same transactional id must not: the new client would fence it.
        tells_refused: whether an answer about a topic is `REFUSED`, too, as one about a record is always; and
            whether to ask for a report of every record, so that the first refusal names its topic already.
        unless: why the transactional id must not be taken over any more; asked again and again, on another
            thread, until it was. Whoever has a successor by then would fence it.
        present: asks which brokers there are; with it, a unit that waits for one that has left the cluster is
            given up.

    Raises:
        ClusterError: the client refuses the settings.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        timeout: float,
        note_of: NoteOf = no_note,
        *,
        replaces: bool = True,
        tells_refused: bool = False,
        unless: Callable[[], object] | None = None,
        present: Callable[[], Collection[int]] | None = None,
    ) -> None:
        self._present = present
        self._tells_refused = tells_refused
        self._final = OF_RECORD | _OF_TOPIC if tells_refused else OF_RECORD
        self._reported_units = 0
        self._unless = unless
        self._is_closed = False
        self._silent_s = _SILENT_S
        self._forget()
        super().__init__(settings, timeout)
        self._note_of = note_of
        self._replaces = replaces
        self._asked = _Asked()
        self._initialised = self._initialise()

    def _connect(self) -> Producer:
        self._lost = LostRequests(client_log)
        self._settings = self._lost.settings(self._settings)
        self._departures = None if self._present is None else Departures(self._present)
        return super()._connect()

    def _who_left(self) -> str:
        """Which broker has left the cluster lately; asked when something takes long."""
        return "" if self._departures is None else self._departures.look()

    def _forget(self) -> None:
        """Begin with a unit of which nothing was refused."""
        self._refused = ""
        self._refusal: OutputRefused | None = None
        self._left_out: KafkaException | None = None

    def begin(self) -> None:
        """Open a transaction, on a new client if the present one may have left a request behind.

        Raises:
            Fenced: another client took the transactional id over.
            ClusterError: the client cannot begin one, or the transactional id cannot be taken over in time;
                or the client should be replaced and must not be.
        """
        for _ in range(_REPLACEMENTS):
            self._await_client()
            # Logs are handed out by the client's calls; what was lost before the last answer is among them.
            with mapped("beginning a transaction"):
                self._client.poll(0)
            if not self._lost.reason:
                break
            if not self._replaces:
                raise ClusterError(_lost_connection(self._lost))
            log.info("the producer is replaced, as it lost a connection: %s", self._lost.reason)
            self.reopen()
        else:
            self._await_client()
        if self._departures is not None:
            self._departures.note()
        self._ends = {}
        self._forget()
        self._report = self._note_delivery if self._tells_refused or self._reported_units else None
        self._reported_units = max(self._reported_units - 1, 0)
        self._asked = _Asked()
        with mapped("beginning a transaction"):
            self._client.begin_transaction()

    def _not_taken(self, topic: str, error: KafkaException) -> None:
        reason = reason_of(self._client, error)
        if reason is not error:
            raise translate(reason, f"writing to {topic}") from reason
        failure = error.args[0]
        if failure.code() in self._final:
            self._note_refused(topic, failure)
        elif failure.code() == KafkaError._STATE:
            # Something that was sent ahead made the transaction fail: its end tells why.
            self._left_out = error
        else:
            super()._not_taken(topic, error)

    def _note_delivery(self, error: KafkaError | None, message: Any) -> None:
        if error is not None and error.code() in self._final:
            self._note_refused(message.topic(), error)

    def _note_refused(self, topic: str, error: KafkaError) -> None:
        self._refused = self._refused or f"{topic}: {error.str()}"
        self._refusal = self._refusal or refusal_of(topic, error)

    def _note_end(self, error: KafkaError | None, message: Any) -> None:
        # A record's own report replaces the client's: its refusal would go unseen.
        super()._note_end(error, message)
        self._note_delivery(error, message)

    def finish(self, positions: Mapping[TopicPartition, int], group_metadata: Any) -> Ending:
        """Send the offsets, if there are any, and commit."""
        # By name, not by `self`: a call that hangs may return when there is a new client already.
        client, lost, asked, ends = self._client, self._lost, self._asked, self._ends
        offsets, offsets_s = noted(positions, self._note_of), 0.0
        try:
            # Right after another transaction the brokers refuse this one until the markers of that one are
            # written. Of the records' partitions the client asks again after 20 ms, of the offsets only
            # after 100 ms: when the records are there, the offsets are taken at once.
            began = time.monotonic()
            self._await_records(client, lost)
            asked.was_slow = time.monotonic() - began > _LONG_S
            if lost.reason:
                # The broker may have been the group's coordinator; see `stop_waiting`. All of it is done
                # again by a new client, which would have come before the next unit anyway. It ends the
                # transaction, too: an abort on this one could wait for the same broker, and be in its way.
                return Ending(Outcome.GIVEN_UP, _lost_connection(lost))
            if self._refused:
                return self._refuse(client, self._refused)
            if offsets:
                with asked:
                    client.send_offsets_to_transaction(offsets, group_metadata, self._timeout)
                    offsets_s = asked.waited
            if self._left_out is not None:
                return self._unusable(self._left_out)
            asked.commit()
            client.commit_transaction(self._timeout)
        except _Unawaited:
            return Ending(Outcome.GIVEN_UP, "nobody reads this: `stop_waiting` said it")
        except KafkaException as error:
            failure = error.args[0]
            if failure.code() in _MEMBER_REFUSED:
                return self._abort(client, error)
            if failure.code() in self._final and failure.txn_requires_abort():
                # Such an answer is one: nothing is on its way any more.
                return self._refuse(client, failure.str())
            # Also when the client says that an abort would do: offsets that were not acknowledged may still
            # be on their way, and get into the next transaction.
            return self._unusable(error)
        if offsets_s < _OFFSETS_S:
            self._silent_s = _SILENT_S
        return Ending(Outcome.COMMITTED, changelog_ends=ends)

    def _await_records(self, client: Producer, lost: LostRequests) -> None:
        """Wait until each record of the unit is acknowledged or given up, or a connection is lost.

        Then the unit is done again whatever becomes of its records. While the partitions of a broker that is
        gone have no leader yet, a new client can begin to end the transaction. One that is suspended keeps
        its connections: that it has left the cluster counts as much.
        """
        began, left = time.monotonic(), self._departures

        def hopeless() -> str:
            if not lost.reason and left is not None and time.monotonic() - began > _LONG_S:
                lost.reason = left.look()
            return lost.reason

        flush(client, self._timeout, unless=hopeless)

    def stop_waiting(self, *, is_late: bool = False) -> Ending | None:
        """Give up the unit if its offsets are not answered for long: 2 s after a lost connection, else 3 s.

        The 3 s become 6 and 8 s with each unit that is given up without a reason, until one gets its answer
        within 2 s.

        librdkafka remembers which broker coordinates the group. If that broker dies while no request is on
        its way to it, and leaves the cluster's metadata, the client goes on waiting for it, and asks who the
        new one is only when something changes about its other connections (2.16.0,
        `rd_kafka_coord_req_fsm`). Not every such loss is in its log.

        A broker that has left the cluster counts as a lost connection. If the commit was asked for by then,
        its outcome is unknown, as it would be when the client gave up. Of a unit whose records took long that
        is asked at once: the broker may be back by the time that the offsets take long, and the client does
        not notice that.

        A unit that is late is given up too unless its commit was asked for: were it only called unknown,
        shards could be restored from before it, and it be committed after that.
        """
        waited = self._asked.waited
        if self._asked.waited_for_commit >= _OFFSETS_S and not is_late and (left := self._who_left()):
            self._lost.reason = self._lost.reason or left
            return Ending(Outcome.UNKNOWN, left)
        if waited < (0.0 if self._asked.was_slow else _OFFSETS_S) and not is_late:
            return None
        serve(self._client)  # logs are handed out by the client's calls
        left = self._who_left()
        self._lost.reason = self._lost.reason or left
        is_silent = waited >= self._silent_s
        is_lost = bool(self._lost.reason) and (waited >= _OFFSETS_S or bool(left))
        if not (is_silent or is_lost or is_late) or not self._asked.stop_waiting():
            return None
        if is_silent and not is_lost:
            self._silent_s = min(2 * self._silent_s, _SILENT_AT_MOST_S)
        self._lost.reason = self._lost.reason or "no answer in time"  # never use it again
        return Ending(Outcome.GIVEN_UP, _lost_connection(self._lost))

    def conclude(self, ending: Ending, positions: Mapping[TopicPartition, int]) -> Ending:  # noqa: ARG002
        """Replace a client that was refused a record; nothing else, since the transaction held the offsets.

        It has numbered what the brokers never took: they would answer OUT_OF_ORDER_SEQUENCE_NUMBER later.
        """
        if ending.outcome is Outcome.REFUSED and self._replaces:
            self.reopen()
        return ending

    def abandon(self) -> Ending:
        """Abort the open transaction."""
        return self._abort(self._client, None)

    def reopen(self) -> None:
        """Replace the client; the transactional id's open transaction is ended by it."""
        super().reopen()
        self._initialised = self._initialise()

    def close(self) -> None:
        """Let go of the client; a takeover that is under way is given up."""
        self._is_closed = True
        super().close()

    def _is_unwanted(self) -> bool:
        return self._is_closed or (self._unless is not None and bool(self._unless()))

    def _await_client(self) -> None:
        wait_for([self._initialised])
        if not self._initialised.result():
            # An error of its own: one that the future kept would keep this writer, and its client, which
            # goes on asking by itself for as long as it lives.
            name = self._settings["transactional.id"]
            raise ClusterError(f"taking over transactional id {name} was given up: nobody wants it any more")

    def _initialise(self) -> Future[bool]:
        """Take over the transactional id on a daemon, which must not hold up our exit."""
        ending: Future[bool] = Future()
        arguments = (self._client, ending)
        Thread(target=self._take_over, args=arguments, name="take-over", daemon=True).start()
        return ending

    def _take_over(self, client: Producer, ending: Future[bool]) -> None:
        name = self._settings["transactional.id"]
        try:
            is_ours = take_over(
                client,
                name,
                3 * self._timeout,
                # A client that was replaced meanwhile would take it from the one after it.
                unless=lambda: client is not self._client or self._is_unwanted(),
            )
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is waited for
            ending.set_exception(error)
        else:
            ending.set_result(is_ours)

    def _abort(self, client: Producer, cause: KafkaException | None) -> Ending:
        failure = cause.args[0] if cause else None
        if failure is not None and failure.fatal():
            return self._unusable(cause)  # type: ignore[arg-type]
        try:
            client.abort_transaction(self._timeout)
        except KafkaException as error:
            return self._unusable(error)
        return Ending(Outcome.ABORTED, failure.str() if failure else "given up")

    def _refuse(self, client: Producer, reason: str) -> Ending:
        self._reported_units = _REPORTED_UNITS
        ending = self._abort(client, None)
        if ending.outcome is not Outcome.ABORTED:
            return ending
        return Ending(Outcome.REFUSED, reason, refused=self._refusal)

    def _unusable(self, cause: KafkaException) -> Ending:
        failure = cause.args[0]
        fenced = failure.code() in FENCED
        return Ending(Outcome.FENCED if fenced else Outcome.UNKNOWN, f"{failure.name()}: {failure.str()}")


def _lost_connection(lost: LostRequests) -> str:
    return f"a connection was lost: {lost.reason}"
