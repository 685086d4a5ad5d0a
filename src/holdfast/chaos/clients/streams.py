"""The engine `kafka-streams`: its program, what its workers are told, and what the brokers know them by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from holdfast.local.folders import cache_folder
from holdfast.local.maven import MavenProgram

KAFKA_STREAMS = "kafka-streams"
"""The engine, as experiments name it."""

MAIN = "lab.Main"
"""The class of a worker."""

JVM_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+ExitOnOutOfMemoryError",
    # The lab's relay looks up who connects among the sockets of IPv4.
    "-Djava.net.preferIPv4Stack=true",
)

STORE = "walked"
"""Its state store (`Sequence.java`)."""

THREADS = 2
"""Numbers that the one thread of a worker may have: what replaces it gets the second while it ends."""

_PROCESS_FILE = "kafka-streams-process-metadata"


def program() -> MavenProgram:
    """The program, whose sources are beside this module."""
    return MavenProgram(
        "the chaos lab's Kafka Streams program",
        Path(__file__).with_name("kafka_streams"),
        cache_folder() / "chaos-kafka-streams",
    )


def command() -> list[str]:
    """What starts a worker, but for its orders; the program is built if it is not yet.

    Raises:
        JavaProgramError: a JDK or Maven is missing, or the build fails.
    """
    return program().command(MAIN, JVM_OPTIONS)


@dataclass(frozen=True, slots=True)
class StreamsOrders:
    """All that a worker needs to know: the record `Orders` of the program.

    Attributes:
        servers: the brokers.
        worker: its name, which begins the ids of its clients.
        application: the application's id, which is the group's.
        instance: begins the ids of its static members.
        input: the topic it reads.
        input_type: the type header of what is there.
        output: the topic it writes.
        output_type: the type header of what it writes.
        replication: of the changelog.
        standby: on how many other workers each state is kept.
        commit_interval_ms: how often it commits.
        session_timeout_ms: after what silence the group gives its tasks to others.
        state_folder: where it keeps its state, over all its lives.
        status: descriptor of the status pipe; None for none.
    """

    servers: str
    worker: str
    application: str
    instance: str
    input: str
    input_type: str
    output: str
    output_type: str
    replication: int
    standby: int
    commit_interval_ms: int
    session_timeout_ms: int
    state_folder: str
    status: int | None = None

    def to_json(self) -> str:
        """The orders as a command-line argument."""
        return json.dumps(asdict(self))


def instance_ids(instance: str) -> Sequence[str]:
    """The static members of a worker: Kafka Streams adds the number of the thread (`StreamsConfig`)."""
    return [f"{instance}-{thread}" for thread in range(1, THREADS + 1)]


def changelog(application: str) -> str:
    """The topic of its state's changes (`ProcessorStateManager.storeChangelogTopic`)."""
    return f"{application}-{STORE}-changelog"


def transactional_id(application: str, state_folder: Path) -> str:
    """The `transactional.id` of a worker's first thread (`ActiveTaskCreator`).

    It is made of an id that the worker draws at its first start and keeps in its state folder.

    Raises:
        OSError: the worker has not been started yet.
    """
    process = json.loads((state_folder / application / _PROCESS_FILE).read_text())
    return f"{application}-{process['processId']}-1"
