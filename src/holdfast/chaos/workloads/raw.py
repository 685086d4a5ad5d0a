"""The workload `raw`: clients' transactions on one topic, with no application between them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from holdfast.chaos.clients.raw import RawSettings
from holdfast.chaos.history import History, Recorder, read
from holdfast.chaos.lab.workers import Workers, worker_name
from holdfast.chaos.workloads.base import FRESH_S
from holdfast.chaos.workloads.groups import GroupPlan, TopicSize
from holdfast.chaos.workloads.last_reader import LastReader
from holdfast.checks import CheckResult
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.scan import LogScanner
from holdfast.runtime.supervisor import WorkerSpec
from holdfast.topology import TopicSpec

TOPIC = "logs"
_NAME = "chaos.raw"
_PROCESSOR = "raw"


class RawWorkload:
    """Clients that write and read logs.

    Args:
        servers: the brokers.
        recordings: where the clients record.
        logs: where they write what they say.
        partitions: how many logs there are.
        replication: on how many brokers each is kept.
        rate: records per second of all clients together.
        clients: how many there are when all is well.
        seed: of what they do.
        prefix: begins the names of topic, group and transactional ids.
    """

    def __init__(
        self,
        servers: str,
        recordings: Path,
        logs: Path,
        *,
        partitions: int,
        replication: int,
        rate: int,
        clients: int,
        seed: int,
        prefix: str = "",
    ) -> None:
        self._servers = servers
        self._recordings = recordings
        self._logs = logs
        self._partitions = partitions
        self._replication = replication
        self._rate = rate
        self._seed = seed
        self._clients = clients
        self.shards = {_PROCESSOR: clients}
        self.plan = None
        self.source = f"{prefix}{TOPIC}"
        self.watched = TopicSize(self.source, partitions)
        self.fresh_s = FRESH_S
        self.outputs: Sequence[str] = (self.source,)
        self.facts: Mapping[str, Any] = {}
        self._name = f"{prefix}{_NAME}"
        self.group = f"{self._name}.raw"
        self.transactional_id = f"{self._name}.{worker_name(0)}"

    def groups(self, workers: int) -> Sequence[GroupPlan]:  # noqa: ARG002
        """None: clients assign partitions to themselves."""
        return ()

    def names(self, workers: int) -> Sequence[str]:
        """The clients, one for each of `workers`."""
        return tuple(map(worker_name, range(workers)))

    def provision(self) -> None:
        """Create the topic."""
        TopicAdmin(self._servers).create([TopicSpec(self.source, self._partitions, self._replication)])

    def specs(self, workers: int) -> dict[str, WorkerSpec]:
        """How the clients are started."""
        return {worker_name(index): self._spec(worker_name(index), index) for index in range(workers)}

    def _spec(self, name: str, index: int) -> WorkerSpec:
        settings = RawSettings(
            self._servers,
            self.source,
            self._partitions,
            name,
            self._name,
            index,
            self._rate / self._clients,
            self._seed,
            str(self._recordings),
        )
        asked = json.dumps(asdict(settings))
        return WorkerSpec(
            _PROCESSOR,
            name,
            lambda status: [sys.executable, "-m", "holdfast.chaos.clients.raw", asked, str(status)],
            log=self._logs / f"{name}.log",
        )

    def load(
        self,
        *,
        rate: int,  # noqa: ARG002 - the clients know
        keys: int,  # noqa: ARG002 - records have no keys
        seed: int,  # noqa: ARG002
        recorder: Recorder,  # noqa: ARG002
        workers: Workers,
    ) -> ClientsWork:
        """The clients themselves."""
        return ClientsWork(workers)

    def record_end(self, recorder: Recorder) -> dict[str, int]:
        """Read all logs to their ends."""
        reader = LastReader(recorder, self.source, self._partitions)
        count = 0
        for message in LogScanner(self._servers).topic(self.source):
            value = message.value()
            assert value is not None, "the clients write no tombstones"
            reader.take(read(reader.logs[message.partition()], int(value), offset=message.offset()))
            count += 1
        reader.end()
        return {self.source: count}

    def checks(self) -> tuple[CheckResult, ...]:
        """None."""
        return ()


def counts_of_sends(history: History) -> dict[str, int]:
    """How many records the clients have tried to write, and what became of them: what a killed one did, too.

    Raises:
        HistoryError: it cannot be read.
    """
    found = history.sends
    return {
        "published": sum(found.values()),
        "acknowledged": found.get("ok", 0),
        "of transactions that were given up": found.get("fail", 0),
    }


class ClientsWork:
    """What the clients do, counted by what they say of themselves.

    Args:
        workers: the clients.
    """

    has_ended = False

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """They go on until they are stopped."""

    @property
    def published(self) -> int:
        """Records that were committed, as far as the clients have said, in all their lives."""
        return self._workers.records

    @property
    def acknowledged(self) -> int:
        """The same."""
        return self.published

    def check(self) -> None:
        """They are supervised: one that fails is started again."""
