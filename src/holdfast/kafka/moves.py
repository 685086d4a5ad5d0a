"""New positions of groups in one transaction: all of them, with what goes with them, or none.

The order of the steps keeps workers out without a lock. Nothing may be open that could still change the
groups' positions, and these must be what was looked at. Then the new positions go into the open
transaction: from then on a worker that starts waits, since it reads positions only when no transaction can
still change them. Then nobody may be in the groups, and their positions must still be the same: whoever came
before that is seen, or has left a trace. A crash at any moment leaves an open transaction, which the
brokers abort.

A worker could leave no trace yet but an open transaction: one that came, wrote and froze between the first
look and the last. It needs a whole session to be gone from the group again, so the looks must not be further
apart than that. If they were, or if a connection was lost meanwhile, all of it is done again by a new client:
each has one transaction and no more. A request that was left on the way, to abort for example, would end the
next transaction half written (`holdfast.kafka.lost_requests`); that of another client is of an older epoch,
and refused. What was left open is ended when the new client takes the transactional id over.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from holdfast.errors import ClusterError, ReplayRefused
from holdfast.kafka.errors import kafka_error, mapped, translate
from holdfast.kafka.lost_requests import LostRequests
from holdfast.kafka.members import GroupQuestion
from holdfast.kafka.offsets import CALL_S
from holdfast.kafka.positions import Committed, Note, noted
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.serving import serve
from holdfast.kafka.settings import Properties, admin_config, client_log, consumer_config, producer_config
from holdfast.kafka.takeover import take_over
from holdfast.kafka.unit_writer import end_aside
from holdfast.record import TopicPartition

log = logging.getLogger(__name__)

T = TypeVar("T")

LEAST_TRANSACTION_S: Final = 60.0

LOOKS_APART_S: Final = 1.5
"""Less than the shortest session that a processor may have (2 s)."""

_ATTEMPTS: Final = 5
_COMMIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Move:
    """New positions of one group.

    Attributes:
        group_id: the group.
        before: its positions as they were looked at, with their notes.
        after: where it is to stand; a subset of these places.
        notes: what is noted beside each of the new positions.
    """

    group_id: str
    before: Mapping[TopicPartition, Committed]
    after: Mapping[TopicPartition, int]
    notes: Mapping[TopicPartition, Note]


@dataclass(frozen=True, slots=True)
class Mover:
    """Who moves groups.

    Attributes:
        transactional_id: whoever began a move under it before is fenced, and what he left open is aborted.
        servers: the brokers.
        properties: the user's client properties.
        seconds: how long the transaction may take.
    """

    transactional_id: str
    servers: str
    properties: Properties
    seconds: float = LEAST_TRANSACTION_S

    def end_unfinished(self) -> None:
        """Abort what an earlier move left open when it was killed.

        Its groups' positions cannot be read before. One that still runs on another machine is
        fenced, and changes nothing.

        Raises:
            ClusterError: the brokers fail.
        """
        self._connect()

    def move(self, moves: Sequence[Move], doing: str, also: Callable[[Producer], T]) -> T:
        """Move groups.

        Args:
            moves: each group's new positions.
            doing: what it is, for messages.
            also: called when nobody can change the groups any more; writes what belongs to the transaction.

        Returns:
            What `also` returned.

        Raises:
            ReplayRefused: somebody works in a group, or did meanwhile. Nothing was changed.
            ClusterError: the brokers failed. Nothing was changed, unless the text says otherwise.
        """
        client = self._hold(moves, doing)
        try:
            done = also(client)
        except BaseException:
            _abort(client)
            raise
        # Also if a connection was lost since: what was asked for twice was of this transaction, before which
        # this client had no other.
        _commit(client, doing)
        return done

    def _hold(self, moves: Sequence[Move], doing: str) -> Producer:
        """Have the new positions in an open transaction, and nobody in the groups.

        Returns:
            The client whose transaction it is.

        Raises:
            ReplayRefused: somebody works in a group, or did meanwhile; or the brokers are too slow.
            ClusterError: the brokers fail.
        """
        outsiders = [self._outsider(it.group_id) for it in moves]
        for attempt in range(1, _ATTEMPTS + 1):
            client, lost = self._connect()
            try:
                took = self._begin(client, moves, outsiders, doing)
                flaw = _flaw(took, lost)
                if flaw and attempt == _ATTEMPTS:
                    raise ReplayRefused(
                        f"{doing}: {flaw}, {_ATTEMPTS} times in a row. Nothing was changed; try again."
                    )
            except BaseException:
                _abort(client)
                raise
            if not flaw:
                return client
            log.info("%s: %s; again", doing, flaw)
            gone = [client]
            del client
            end_aside(gone)
        raise AssertionError("the last attempt returns or raises")

    def _begin(self, client: Producer, moves: Sequence[Move], outsiders: Sequence[Any], doing: str) -> float:
        """Have the new positions in the client's transaction; the seconds from the first look to the last."""
        began = time.monotonic()
        for each in moves:
            # Who is there is a better answer than that somebody was.
            self._require_alone(each.group_id)
            self._require_unmoved(each, "read_committed")
        with mapped(doing):
            client.begin_transaction()
            for each, outsider in zip(moves, outsiders, strict=True):
                positions = noted(each.after, each.notes.__getitem__)
                client.send_offsets_to_transaction(positions, outsider, CALL_S)
        for each in moves:
            self._require_alone(each.group_id)
            # A reader of committed positions would wait for our own transaction.
            self._require_unmoved(each, "read_uncommitted")
        took = time.monotonic() - began
        with mapped(doing):
            serve(client)  # logs are handed out by the client's calls
        return took

    def _connect(self) -> tuple[Producer, LostRequests]:
        """Take over the transactional id."""
        lost = LostRequests(client_log)
        settings = {
            **producer_config(
                self.servers,
                self.properties,
                transactional_id=self.transactional_id,
                transaction_ms=int(self.seconds * 1000),
            ),
            "client.id": self.transactional_id,
        }
        with mapped(f"taking over {self.transactional_id}"):
            client = Producer(lost.settings(settings))
        take_over(client, self.transactional_id, _COMMIT_S)
        return client, lost

    def _outsider(self, group_id: str) -> Any:
        """The standing of one who is not in the group."""
        with mapped("starting a reader"):
            client = Consumer(consumer_config(self.servers, group_id, self.properties))
            try:
                return client.consumer_group_metadata()
            finally:
                client.close()

    def _require_alone(self, group_id: str) -> None:
        admin = AdminClient(admin_config(self.servers, self.properties))
        require_no_members(GroupQuestion(admin, group_id, CALL_S))

    def _require_unmoved(self, move: Move, isolation: str) -> None:
        """Refuse if a worker was in the group since its positions were looked at.

        Raises:
            ReplayRefused: it is so.
            ClusterError: the brokers do not tell.
        """
        found = self._committed(move, isolation)
        moved = [place for place, before in move.before.items() if found[place] != before]
        if moved:
            raise ReplayRefused(
                f"a worker of the group {move.group_id} worked meanwhile ({', '.join(map(str, moved))}). "
                "Nothing was changed. Keep its workers stopped, and try again."
            )

    def _committed(self, move: Move, isolation: str) -> dict[TopicPartition, Committed]:
        """A group's positions; with `read_committed` after whatever is open has ended."""
        config = consumer_config(self.servers, move.group_id, self.properties)
        ids = {place.topic: note.topic_id for place, note in move.notes.items()}
        settings = {**reader_settings(config), "isolation.level": isolation}
        with contextlib.closing(PartitionReader(settings)) as reader:
            return reader.standing(list(move.before), CALL_S, ids.get)


def require_no_members(question: GroupQuestion) -> None:
    """Refuse if anybody is in a group.

    Raises:
        ReplayRefused: somebody is.
        ClusterError: the brokers do not tell.
    """
    group = question.wait()
    if group.members:
        names = ", ".join(sorted(member.client_id for member in group.members))
        raise ReplayRefused(
            f"workers are in the group {group.group_id}: {names}. Stop them (`holdfast run`), on every "
            "machine; one that was killed counts until its session has ended. Nothing was changed."
        )


def _flaw(took: float, lost: LostRequests) -> str:
    """Why an attempt is to be done again; "" if it is not."""
    if lost.reason:
        return f"a connection was lost ({lost.reason})"
    if took >= LOOKS_APART_S:
        return f"the brokers answer too slowly ({took:.1f} s) to be sure that nobody works meanwhile"
    return ""


def _abort(client: Producer) -> None:
    # The brokers abort it anyway; this is sooner.
    with contextlib.suppress(KafkaException):
        client.purge()
        client.abort_transaction(CALL_S)


def _commit(client: Producer, doing: str) -> None:
    """Commit; asked again while the outcome is not known.

    Raises:
        ClusterError: it was aborted, or nobody knows.
    """
    deadline = time.monotonic() + _COMMIT_S
    while True:
        try:
            client.commit_transaction(CALL_S)
        except KafkaException as error:
            failure = kafka_error(error)
            if failure.retriable() and time.monotonic() < deadline:
                log.info("%s: %s", doing, failure.str())
                continue
            if failure.txn_requires_abort():
                with contextlib.suppress(KafkaException):
                    client.abort_transaction(CALL_S)
                raise translate(error, f"{doing} was refused, and nothing was changed") from error
            raise ClusterError(
                f"{doing}: it is not known whether it was committed ({failure.str()}). It was done as a "
                "whole or not at all; `holdfast groups` shows where the group stands."
            ) from error
        else:
            return
