"""What became of dead letters: a compacted topic with one record for each that was dealt with.

A letter is named by its partition and offset. With it stands the id of the letters' topic: one that was
deleted and created again has other letters at the same places.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import TypeAdapter
from pydantic_core import from_json

from holdfast.kafka.offsets import CALL_S
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.scan import SCAN_GROUP, LogScanner
from holdfast.kafka.settings import Properties, consumer_config
from holdfast.record import Message, Output

log = logging.getLogger(__name__)

Deed = Literal["redriven", "discarded"]


@dataclass(frozen=True, slots=True)
class Disposition:
    """What became of a letter.

    Attributes:
        what: what was done with it.
        at: when, in milliseconds since the epoch.
        by: by whom: user and machine.
        why: the reason that was given, if one was.
    """

    what: Deed
    at: int
    by: str
    why: str | None = None

    def record(self, topic: str, letter: tuple[int, int], letters_id: str) -> Output:
        """The record that notes it.

        Args:
            topic: the topic of dispositions.
            letter: partition and offset of the letter.
            letters_id: the id of the letters' topic.
        """
        said = {"what": self.what, "at": self.at, "by": self.by, "why": self.why, "topic_id": letters_id}
        partition, offset = letter
        return Output(topic, json.dumps(said).encode(), f"{partition}@{offset}".encode(), self.at, [])


_SAID: Final = TypeAdapter(Disposition)


def read_dispositions(scanner: LogScanner, topic: str, letters_id: str) -> dict[tuple[int, int], Disposition]:
    """All that is noted about the letters of a topic, by their partitions and offsets.

    What nobody can read was written by a stranger or a newer version: it is left out, and the log says how
    many records that were.

    Args:
        scanner: reads the cluster.
        topic: the topic of dispositions, which may not exist yet.
        letters_id: the id of the letters' topic.

    Raises:
        ClusterError: the brokers cannot be read.
    """
    found, unreadable = {}, 0
    for message in scanner.topic(topic):
        try:
            said = from_json(message.value() or b"{}")
            if said.get("topic_id") == letters_id:
                found[_letter(message)] = _SAID.validate_python(said)
        except (ValueError, AttributeError):
            unreadable += 1
    if unreadable:
        _tell_unreadable(topic, unreadable)
    return found


def _letter(message: Message) -> tuple[int, int]:
    partition, _, offset = (message.key() or b"").decode().partition("@")
    return int(partition), int(offset)


@functools.cache
def _tell_unreadable(topic: str, count: int) -> None:
    # Once: a command that waits reads the topic again and again.
    log.warning("%d of the records in %s were not written by `holdfast dlq`; they are left out", count, topic)


def topic_id(topic: str, servers: str, properties: Properties) -> str:
    """The brokers' own name for a topic.

    Raises:
        ClusterError: they do not tell, or there is none.
    """
    settings = reader_settings(consumer_config(servers, SCAN_GROUP, properties))
    with contextlib.closing(PartitionReader(settings)) as reader:
        return reader.topics([topic], CALL_S)[topic].id
