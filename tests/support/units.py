"""A worker without its engine: numbered units through a writer, as the committer sends them, and their check.

Each unit is two records and a position. What is aborted is done again under a new attempt number, so that a
record of an aborted attempt that becomes visible is told from one that is committed.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer

from holdfast.errors import ClusterError
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.settings import consumer_config, producer_config
from holdfast.kafka.transaction import TransactionalWriter
from holdfast.kafka.unit_writer import Ending, Outcome
from holdfast.record import Output, TopicPartition
from holdfast.runtime.unit_end import PATIENCE_S, UnitEnd
from holdfast.topology import TopicSpec
from tests.support.patience import patient

CALL_S = 2.0
"""Seconds for one call of the writer: shorter than in a worker, to make the tests short."""

ABANDON_EVERY = 3
"""Every so many units the first attempt is given up."""


class Units:
    """Commits units, recovers as a worker does, and knows what must be in the log in the end.

    Args:
        name: of the topics, the group and the transactional id.
        servers: the brokers, to look at what happened.
        properties: more settings of the writer's client.

    Attributes:
        endings: how the attempts ended.
        renewals: how often the client had to be replaced.
        place: the input whose position the units commit.
    """

    def __init__(self, name: str, servers: str, properties: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.endings: list[Ending] = []
        self.renewals = 0
        self.at = 0
        self._servers = servers
        self._found: list[str] = []
        self._reader = PartitionReader(reader_settings(consumer_config(servers, name)))
        self._properties = dict(properties or {})
        self._attempts = itertools.count(1)
        self.place = TopicPartition(f"{name}.in", 0)
        TopicAdmin(servers).create([TopicSpec(f"{name}.{end}", 1, 3, {}) for end in ("in", "out")])

    def writer(
        self, servers: str, kind: type[TransactionalWriter], call_s: float = CALL_S
    ) -> TransactionalWriter:
        """A writer; its client's id is `name`."""
        settings = producer_config(servers, self._properties, transactional_id=self.name)
        return kind({**settings, "client.id": self.name}, call_s)

    def run(self, writer: TransactionalWriter, until: int, within: float = 40.0) -> None:
        """Commit units until there are `until` of them."""
        deadline = time.monotonic() + within
        with self.group() as metadata:
            while self.at < until:
                assert time.monotonic() < deadline, f"unit {self.at} not in time: {self.endings[-5:]}"
                try:
                    ending = self._attempt(writer, next(self._attempts), metadata)
                except ClusterError as error:
                    ending = Ending(Outcome.UNKNOWN, str(error))
                self.endings.append(ending)
                if ending.outcome is Outcome.COMMITTED:
                    self.at += 1
                    self._check_position()
                elif ending.outcome is not Outcome.ABORTED:
                    self._recover(writer)

    def _attempt(self, writer: TransactionalWriter, attempt: int, metadata: Any) -> Ending:
        writer.begin()
        writer.send([self._output("first", attempt)])
        # On the brokers before the rest, as when outputs are sent ahead of a commit.
        writer._client.flush(CALL_S)
        if attempt % ABANDON_EVERY == 0:
            return writer.abandon()
        writer.send([self._output("last", attempt)])
        return self.finish(writer, self.at + 1, metadata)

    def finish(self, writer: TransactionalWriter, position: int, metadata: Any) -> Ending:
        """End a writer's unit on a thread of its own, as a worker does: the client may wait for ever."""
        ending = UnitEnd(writer, {self.place: position}, metadata, PATIENCE_S).take(wait=None)
        assert ending is not None, "it waits until there is one"
        return ending

    def _output(self, part: str, attempt: int) -> Output:
        return Output(f"{self.name}.out", f"{self.at} {attempt} {part}".encode(), b"key", 0, [])

    def _recover(self, writer: TransactionalWriter) -> None:
        self.renewals += 1
        with contextlib.suppress(ClusterError):
            # Refused once more, it is tried again with the next unit.
            writer.reopen()
            self.at = self.committed()

    def _check_position(self) -> None:
        """Look at the position after every unit: a wrong one is soon overwritten by the next."""
        position = self.committed()
        if position != self.at:
            self._found.append(f"position {position} after unit {self.at - 1}")

    def committed(self) -> int:
        """The group's position, when no transaction can change it any more."""
        return self._reader.committed([self.place], 15.0)[self.place] or 0

    def close(self) -> None:
        """Let go of the clients."""
        self._reader.close()

    @contextlib.contextmanager
    def group(self) -> Iterator[Any]:
        """Give the standing of a member that never joins."""
        member = Consumer({"bootstrap.servers": self._servers, "group.id": self.name})
        try:
            yield member.consumer_group_metadata()
        finally:
            member.close()

    @patient
    def problems(self) -> list[str]:
        """What is wrong with the log: units torn, lost, doubled, aborted but visible, or out of order."""
        log = [str(m.value(), "ascii").split() for m in LogScanner(self._servers).topic(f"{self.name}.out")]
        found = list(self._found)
        found += [f"torn: {a} {b}" for a, b in zip(log[::2], log[1::2], strict=False) if a[:2] != b[:2]]
        if [part for _, _, part in log] != ["first", "last"] * self.at:
            found.append(f"parts {[part for _, _, part in log]}")
        if [int(unit) for unit, _, _ in log[::2]] != list(range(self.at)):
            found.append(f"units {[unit for unit, _, _ in log[::2]]} where there should be {self.at}")
        return found
