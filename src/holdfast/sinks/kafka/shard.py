"""One shard on the other cluster: its transactional id, and how far it is written.

The id is the shard's, and not the worker's: shards move one by one. Who takes it over ends what is open under
it, and the brokers refuse all that the owner before still sends, whenever that wakes up::

    take the id over -> a claim record -> read what stands before it -> the standing, with our token -> commit

The claim is acknowledged by all replicas in sync, so its offset is where the log ends: nothing that was
committed before can be missed, not even on a broker that does not know yet that it leads no longer. From then
on what is known here is exact, as every commit that succeeds is ours. A client that is replaced takes all of
these steps again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic_core import to_json

from holdfast.errors import BrokersUnreachable, ClusterError, Fenced, OutputRefused, SinkError, SinkFenced
from holdfast.kafka.errors import is_lasting
from holdfast.kafka.settings import Properties
from holdfast.kafka.sole_writer import SoleWriter
from holdfast.kafka.unit_writer import ChangelogRows, Ending, Outcome
from holdfast.record import Output, Position, TopicPartition
from holdfast.sinks.kafka.positions import CLAIM_KEY, STANDING_KEY
from holdfast.sinks.kafka.standing import Standing

_LARGEST: Final = 800_000
"""Bytes of a standing that a topic with Kafka's defaults takes for sure. Only refusals make it so large."""


Made = tuple[Position, Sequence[Output]]
"""A record of an input, and what is written for it."""


class BeginAnewError(Exception):
    """The shard has to be taken over once more, which tells how far it is written.

    Attributes:
        is_fenced: whether since somebody else took it over.
    """

    def __init__(self, reason: str, *, is_fenced: bool = False) -> None:
        self.is_fenced = is_fenced
        super().__init__(reason)


@dataclass(slots=True)
class Search:
    """Finds the records of a batch that the brokers do not take.

    Attributes:
        refused: why, of those that were found.
        is_on: whether to ask for each record.
        is_alone: whether to send each by itself: a batch of records is refused for its size as a whole.
    """

    refused: dict[Position, str] = field(default_factory=dict)
    is_on: bool = False
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """The other cluster, as shards write to it.

    Attributes:
        servers: the brokers.
        properties: the user's own client properties.
        timeout: seconds that a batch may take.
    """

    servers: str
    properties: Properties = field(repr=False)
    timeout: float


class Shard:
    """A shard; used by one thread at a time.

    Args:
        cluster: where it is written.
        id_: its transactional id.
        place: where it is kept how far it is written.

    Attributes:
        standing: how far that is. None until it is taken over.
        used_at: when it was written last, on the monotonic clock.
    """

    def __init__(self, cluster: Cluster, id_: str, place: TopicPartition) -> None:
        self.standing: Standing | None = None
        self.used_at = time.monotonic()
        self._cluster = cluster
        self._id = id_
        self._place = place
        self._writer: SoleWriter | None = None
        self._is_alone = False

    @property
    def number(self) -> int:
        """The shard's number."""
        return self._place.partition

    def is_known(self, token: int, *, alone: bool = False) -> bool:
        """Whether it is known how far it is written, and its client may go on.

        Args:
            token: the fencing token of its owner. If that is a newer one, others may have written meanwhile.
            alone: whether it has to be a client that sends each record by itself.
        """
        if self.standing is None or self._writer is None:
            return False
        if self._is_alone != alone or self.standing.fencing_token < token or self._writer.doubt:
            self.drop()
            return False
        return True

    def take_over(self, until: float, *, alone: bool = False) -> int:
        """Take over the id, and write the claim; a transaction is open then.

        Returns:
            The claim's offset.

        Raises:
            BeginAnewError: another one took it over in that moment.
            ClusterError: not in time, or this user may not.
        """
        if self._writer is not None and self._is_alone != alone:
            self.drop()
        writer = self._writer = self._writer or self._connect(alone)
        try:
            is_ours = writer.is_ours(until - time.monotonic())
        except ClusterError as error:
            self._give_up(error)
            raise
        if not is_ours:
            # Gone on with by the next try: it may take longer than a batch may.
            raise BrokersUnreachable(
                f"taking over transactional id {self._id} on {self._cluster.servers}: not in time. Check "
                "that the brokers run, and that there are enough of them for transactions."
            )
        try:
            writer.begin()
            writer.send((), [ChangelogRows(self._place, [(CLAIM_KEY, to_json({"by": self._id}))])])
            end = writer.settle().get(self._place)
        except ClusterError as error:
            self._give_up(error)
            raise
        if end is None:
            ending = writer.end()
            late = f"the claim in {self._place} was not acknowledged within {self._cluster.timeout / 2:g} s"
            raise self._failed(replace(ending, reason=ending.reason or late), "taking the shard over")
        return end - 1

    def claim(self, found: Standing, token: int, sink: str) -> None:
        """Note who the owner is, with what was found to be written; nobody older writes after that.

        Args:
            found: how far it is written.
            token: our fencing token.
            sink: the sink's name, for messages.

        Raises:
            SinkFenced: a newer owner has written.
            BeginAnewError: another one took it over in that moment.
            ClusterError: the brokers do not take it.
        """
        assert self._writer is not None, "taken over"
        try:
            require_newest(found, token, self.number, sink)
        except SinkFenced:
            self._writer.abandon()
            self.drop()
            raise
        standing = Standing(token, found.inputs)
        try:
            self._writer.send((), [self._row(standing)])
        except ClusterError as error:
            self._give_up(error)
            raise
        ending = self._writer.end()
        if ending.outcome is not Outcome.COMMITTED:
            raise self._failed(ending, "taking the shard over")
        self.standing = standing
        self.used_at = time.monotonic()

    def commit(self, records: Sequence[Made], after: Standing, search: Search) -> None:
        """Write records, and how far the shard is written with them, in one transaction.

        Args:
            records: what was made of each.
            after: how far it is written then.
            search: told which of them are refused.

        Raises:
            BeginAnewError: none of it is there, or it is not known whether it is.
            SinkError: it is a person's to change something.
            ClusterError: likewise, or the client takes nothing for too long.
        """
        writer = self._writer
        assert writer is not None, "taken over"
        self.used_at = time.monotonic()
        try:
            writer.begin()
            if search.is_on or len(records) == 1:
                for number, (_, outputs) in enumerate(records):
                    writer.send_numbered(number, outputs)
            else:
                writer.send([output for _, outputs in records for output in outputs])
            writer.send((), [self._row(after)])
        except ClusterError as error:
            self._give_up(error)
            raise
        ending = writer.end()
        if ending.outcome is Outcome.COMMITTED:
            self.standing = after
            return
        if ending.outcome is Outcome.REFUSED:
            self._note_refused(records, ending, writer.named, search)
        topics = sorted({output.topic for _, outputs in records for output in outputs})
        raise self._failed(ending, f"writing to {', '.join(topics) or self._place.topic}")

    def _note_refused(
        self,
        records: Sequence[Made],
        ending: Ending,
        named: dict[int, OutputRefused],
        search: Search,
    ) -> None:
        if len(records) == 1 and not named:
            refused = ending.refused
            if refused is not None and refused.topic == self._place.topic:
                return
            search.refused[records[0][0]] = _told(refused) if refused is not None else ending.reason
            return
        for number, refused in named.items():
            search.refused[records[number][0]] = _told(refused)
        # Asked for each, and none is named: they were refused together. One that is found by itself may have
        # been the only one, and all at once take far less time.
        search.is_alone = search.is_on and not named
        search.is_on = True

    def _failed(self, ending: Ending, doing: str) -> BeginAnewError | SinkError:
        reason = f"{doing} on {self._cluster.servers}: {ending.reason}"
        stays = self._writer is not None and self._writer.is_lasting
        self.drop()
        if stays:
            return SinkError(reason)
        return BeginAnewError(reason, is_fenced=ending.outcome is Outcome.FENCED)

    def _give_up(self, error: ClusterError) -> None:
        """Let go of the client.

        Raises:
            BeginAnewError: another try may well do better.
        """
        self.drop()
        if not isinstance(error, BrokersUnreachable) and not is_lasting(error):
            raise BeginAnewError(str(error), is_fenced=isinstance(error, Fenced)) from error

    def _row(self, standing: Standing) -> ChangelogRows:
        return ChangelogRows(self._place, [(STANDING_KEY, standing.to_json())])

    def _connect(self, alone: bool) -> SoleWriter:
        self._is_alone = alone
        timeout = self._cluster.timeout
        return SoleWriter(
            self._cluster.servers,
            self._id,
            self._cluster.properties,
            # One to have the records on the brokers, one to commit.
            call_s=timeout / 2,
            transaction_s=timeout,
            alone=alone,
        )

    def drop(self) -> None:
        """Let go of the client. What it left open is ended by whoever takes over next, or by the brokers."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self.standing = None


def require_newest(standing: Standing, token: int, number: int, sink: str) -> None:
    """Make sure that no newer owner has written.

    Raises:
        SinkFenced: one has.
    """
    if standing.fencing_token > token:
        raise SinkFenced(
            f"sink {sink!r}: shard {number} has been written by a newer owner (fencing token "
            f"{standing.fencing_token}, ours is {token}); this worker begins anew"
        )


def is_too_large(standing: Standing) -> bool:
    """Whether a standing may be more than its topic takes: with very many refusals."""
    refused = sum(len(it.refused) for it in standing.inputs.values())
    return refused > 1_000 and len(standing.to_json()) > _LARGEST


def _told(refused: OutputRefused) -> str:
    return f"topic {refused.topic!r} does not take it: {refused.said}"
