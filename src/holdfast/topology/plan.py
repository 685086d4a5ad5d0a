"""What has to change on a cluster so that it holds what a topology declares. Pure: no client.

Only missing topics are created. Everything else that differs is left to a person: the text
of each difference says what to do on either side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from holdfast.topology.model import Topology
from holdfast.topology.spec import TopicSpec

DifferenceKind = Literal["missing", "partitions", "replication", "config"]


@dataclass(frozen=True)
class Difference:
    """One way in which a cluster differs from the declaration.

    Attributes:
        kind: what differs; only `missing` is repaired by `holdfast apply`.
        wanted: the topic as declared.
        text: what differs and what to do, for the user.
        setting: the topic setting, for the kind `config`.
    """

    kind: DifferenceKind
    wanted: TopicSpec
    text: str
    setting: str = ""

    @property
    def is_mismatch(self) -> bool:
        """Whether a person has to decide."""
        return self.kind != "missing"


def plan(topology: Topology, actual: Mapping[str, TopicSpec]) -> tuple[Difference, ...]:
    """Compare a declaration with a cluster, Holdfast's own topics included.

    Args:
        topology: the declaration.
        actual: the cluster's topics by name, with all their settings; others are ignored.
    """
    return tuple(
        difference
        for wanted in topology.topic_specs()
        for difference in _Comparison(topology, wanted).differences(actual.get(wanted.name))
    )


class _Comparison:
    """Compares one topic."""

    def __init__(self, topology: Topology, wanted: TopicSpec) -> None:
        self._topology = topology
        self._wanted = wanted
        self._declared = wanted.name in topology.topics

    def differences(self, actual: TopicSpec | None) -> Iterator[Difference]:
        wanted = self._wanted
        if actual is None:
            size = f"{wanted.partitions} partitions, replication {wanted.replication}"
            text = f"{wanted.name}: to be created with {size}"
            yield Difference("missing", wanted, text)
            return
        if actual.partitions != wanted.partitions and not self._has_spare_partitions(actual):
            yield Difference("partitions", wanted, self._partitions(actual.partitions))
        if actual.replication != wanted.replication:
            yield Difference("replication", wanted, self._replication(actual.replication))
        for setting, value in wanted.config.items():
            found = actual.config.get(setting)
            if found is None or not _same(found, value):
                yield Difference("config", wanted, self._config(setting, value, found), setting)

    def _has_spare_partitions(self, actual: TopicSpec) -> bool:
        """Whether it has more than needed where that does no harm: records are addressed to a partition."""
        is_redrive = self._wanted.name == self._topology.redrive_topic
        return is_redrive and actual.partitions > self._wanted.partitions

    def _partitions(self, found: int) -> str:
        name, wanted = self._wanted.name, self._wanted.partitions
        starts = f"{name}: the cluster has {found} partitions, {self._where('partitions')} wants {wanted}. "
        if not self._declared:
            return starts + self._internal_partitions(found)
        keep = f"Declare partitions: {found}, or declare a new topic with {wanted} and republish the records."
        if wanted < found:
            return f"{starts}Kafka cannot take partitions away. {keep}"
        if self._wanted.keyed_state_of:
            owners = ", ".join(self._wanted.keyed_state_of)
            return (
                f"{starts}Adding partitions is DESTRUCTIVE here and refused: keys would move to other "
                f"partitions, away from the state that {owners} keeps for them. {keep}"
            )
        return (
            f"{starts}Holdfast does not add partitions, as keys would move and lose their order. {keep} "
            f"If the order does not matter: kafka-topics.sh --alter --topic {name} --partitions {wanted}"
        )

    def _internal_partitions(self, found: int) -> str:
        if self._wanted.name == self._topology.leader_id:
            return f"Delete {self._wanted.name} and apply again; its elections and runs are then forgotten."
        if self._wanted.name == self._topology.redrive_topic:
            return (
                "Add them, which does no harm there: kafka-topics.sh --alter --topic "
                f"{self._wanted.name} --partitions {self._wanted.partitions}"
            )
        if self._wanted.name == self._topology.controls_topic:
            return f"Delete {self._wanted.name} and apply again; breakers that are forced are then released."
        if not self._wanted.keyed_state_of:
            return f"When all dead letters are dealt with, delete {self._wanted.name} and apply again."
        owner = self._wanted.keyed_state_of[0]
        return (
            f"The state of {owner} is spread over {found}; its inputs have another number now. Declare "
            f"inputs with {found} partitions; or rename {owner}, so that it builds its state anew."
        )

    def _replication(self, found: int) -> str:
        name, wanted = self._wanted.name, self._wanted.replication
        follows_all = self._wanted.name in (self._topology.leader_id, self._topology.controls_topic)
        owner = "a topic" if follows_all else "the inputs of the processor"
        inputs = "" if self._declared else f" for {owner}"
        return (
            f"{name}: the cluster has replication {found}, {self._where('replication')} wants {wanted}. "
            f"Declare replication: {found}{inputs}, or change the cluster with kafka-reassign-partitions.sh."
        )

    def _config(self, setting: str, value: str, found: str | None) -> str:
        name, where = self._wanted.name, self._where("config", setting)
        if found is None:
            return f"{name}: {where} wants {setting}, which the brokers do not know. Correct or remove it."
        keep = f"Declare config: {{{setting}: {found}}}, or change" if self._declared else "Change"
        return (
            f"{name}: {setting} is {found} on the cluster, {where} wants {value}. {keep} the cluster: "
            f"kafka-configs.sh --alter --entity-type topics --entity-name {name} "
            f"--add-config {_quoted(setting, value)}"
        )

    def _where(self, *keys: str) -> str:
        """Name the line of the file that wants it, or Holdfast itself."""
        source = self._topology.source
        at = ("topics", self._wanted.name, *keys)
        if not self._declared or (keys[0] == "config" and at not in source.lines):
            return "Holdfast"
        return f"{source.path}:{source.line(at)}"


def _same(found: str, wanted: str) -> bool:
    """Compare two texts of a setting: lists in any order, numbers by value."""
    if found == wanted:
        return True
    try:
        return float(found) == float(wanted)
    except ValueError:
        return sorted(_parts(found)) == sorted(_parts(wanted))


def _parts(value: str) -> list[str]:
    return [part.strip().lower() for part in value.split(",")]


def _quoted(setting: str, value: str) -> str:
    """Lists need brackets on Kafka's command line."""
    return f"{setting}=[{value}]" if "," in value else f"{setting}={value}"
