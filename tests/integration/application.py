"""Runs a whole application on real brokers, for tests: topics, source, workers, and a look at the result."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from holdfast.checks import CheckResult
from holdfast.engine.plan import check_handler
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.drain import DrainWatch, group_inputs
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.producer import Producer
from holdfast.kafka.provision import provision
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.topic_reader import ClusterTopicReader
from holdfast.runtime.launch import LaunchSettings, worker_specs
from holdfast.runtime.supervisor import Supervisor
from holdfast.schema import Event
from holdfast.topology import check_file
from tests.support.application import Run, logs_below


class Application:
    """An application with its topics on the brokers. Those that it made are deleted when the block ends.

    It refuses brokers that already have a topic of one of its names: that is somebody else's.

    Args:
        topology: its file.
        servers: the brokers.
        home: a folder for state and logs.

    Attributes:
        servers: the brokers.
    """

    def __init__(self, topology: Path, servers: str, home: Path) -> None:
        self._resolved = check_file(topology, check_handler)
        self.topology = self._resolved.topology
        self.servers = servers
        self._home = home
        self._admin = AdminClient({"bootstrap.servers": servers})
        self.log = ClusterTopicReader(self._resolved, LogScanner(servers))

    def __enter__(self) -> Self:
        taken = self._present()
        assert not taken, f"topics that are not this test's to use: {sorted(taken)}"
        provision(TopicAdmin(self.servers), self.topology)
        return self

    def __exit__(self, *_: object) -> None:
        mine = self._present()  # there were none before
        for topic in self._admin.delete_topics(list(mine)).values():
            topic.result(30)
        groups = [decl.group_id for decl in self.topology.processors.values()]
        for group in self._admin.delete_consumer_groups(groups).values():
            with contextlib.suppress(KafkaException):  # it may never have been joined
                group.result(30)
        deadline = time.monotonic() + 30
        while self._present():
            assert time.monotonic() < deadline, "the topics are still there"
            time.sleep(0.1)

    def produce(self, producer: str, only: Callable[[Event], bool] = lambda _: True, **arguments: Any) -> int:
        """Publish what a declared producer yields, or some of it."""
        declared = self._resolved.producers[producer]
        with Producer.for_topics(declared.writes, self.servers, source=self.topology.app) as client:
            for event in filter(only, declared.source(**arguments)):
                client.publish(event)
            client.flush()
            return client.stats.sent

    def run(
        self,
        *,
        within: float,
        meanwhile: Callable[[Supervisor], None] | None = None,
        only: Collection[str] = (),
    ) -> None:
        """Run all processors until everything is handled.

        Args:
            within: seconds after which the test fails.
            meanwhile: called again and again while they run.
            only: the processors to run and to wait for; all of them when empty.
        """
        settings = LaunchSettings(self.servers, self._home, "test")
        supervisor = Supervisor(worker_specs(self.topology, settings, only))
        began = time.monotonic()
        try:
            supervisor.start()
            with DrainWatch(self.servers, group_inputs(self.topology, only)) as watch:
                while not watch.is_drained(since=began):
                    lag = watch.last.found.lag if watch.last else "unknown"
                    assert time.monotonic() - began < within, f"not done in time: lag {lag}"
                    assert not supervisor.failed, [
                        view.error or view.shard_failures for view in supervisor.failed
                    ]
                    supervisor.poll(0.25)
                    if meanwhile:
                        meanwhile(supervisor)
        finally:
            supervisor.stop()

    @contextlib.contextmanager
    def running(self) -> Iterator[Run]:
        """Run all processors while the block lasts, then stop them in good order."""
        run = Run(self, worker_specs(self.topology, LaunchSettings(self.servers, self._home, "test")))
        try:
            run.supervisor.start()
            yield run
        finally:
            run.stop()

    def lag(self) -> int:
        """Records that are not handled yet, of all processors."""
        with GroupAdmin(self.servers) as groups:
            state = groups.is_drained(group_inputs(self.topology))
        return 0 if state.drained else sum(state.lag.values()) or 1

    def logs(self) -> str:
        """What the workers wrote, for a failing test's report."""
        return logs_below(self._home)

    def check(self) -> list[CheckResult]:
        """Run the declared checks."""
        return [check(self.log) for check in self._resolved.checks.values()]

    def _present(self) -> set[str]:
        """Names of the brokers' topics that the application uses."""
        known = self._admin.list_topics(timeout=10).topics
        declared = {spec.name for spec in self.topology.topic_specs()}
        # Faust names its own topics after the application's id, which is the group's.
        faust = tuple(
            f"{decl.group_id}-"
            for decl in self.topology.processors.values()
            if decl.name not in self.topology.native
        )
        return {name for name in known if name in declared or (faust and name.startswith(faust))}
