"""The dead letters of an application on a cluster, with what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

from holdfast.engine.letters import Letter, read_letter
from holdfast.errors import LettersRefused
from holdfast.kafka.dispositions import Disposition, read_dispositions, topic_id
from holdfast.kafka.scan import LogScanner
from holdfast.record import TopicPartition
from holdfast.runtime.letter_choice import Choice, Found
from holdfast.topology import Topology

Kept = Literal["facts", "record", "all"]


class LetterBox:
    """Reads dead letters.

    Args:
        declared: the application.
        servers: the brokers.
        scanner: reads them.

    Attributes:
        unreadable: records of the topic that no processor wrote, as far as was read.
        id: of the letters' topic.

    Raises:
        LettersRefused: the cluster has no dead letters' topic.
        ClusterError: the brokers cannot be read.
    """

    def __init__(self, declared: Topology, servers: str, scanner: LogScanner) -> None:
        self._declared = declared
        self._scanner = scanner
        self.unreadable = 0
        topic = declared.dead_letter_topic
        if topic not in scanner.offsets.partitions([topic]):
            raise LettersRefused(
                f"the cluster has no topic {topic}. Is it the right cluster? `holdfast apply` creates it."
            )
        self.id = topic_id(topic, servers, declared.kafka)

    def dispositions(self) -> Mapping[tuple[int, int], Disposition]:
        """What became of letters, of those that somebody has dealt with.

        Raises:
            ClusterError: the brokers cannot be read.
        """
        return read_dispositions(self._scanner, self._declared.dispositions_topic, self.id)

    def find(self, choice: Choice, keep: Kept = "facts") -> Iterator[Found]:
        """Letters, in the order of their partitions.

        Args:
            choice: which.
            keep: what of each is to be kept in memory: what is known of the record, the record too, or the
                stack trace as well.

        Raises:
            ClusterError: the brokers cannot be read.
        """
        dispositions = self.dispositions()
        self.unreadable = 0
        partitions = {partition for partition, _ in choice.places}

        def is_meant(place: TopicPartition) -> bool:
            return not partitions or place.partition in partitions

        for message in self._scanner.topic(self._declared.dead_letter_topic, is_meant):
            letter = read_letter(message)
            if letter is None:
                self.unreadable += 1
                continue
            found = Found(_slim(letter, keep), dispositions.get(letter.place[1:]))
            if choice.takes(found):
                yield found


def _slim(letter: Letter, keep: Kept) -> Letter:
    if keep == "all":
        return letter
    return (
        replace(letter, stack="") if keep == "record" else replace(letter, stack="", value=None, headers=())
    )
