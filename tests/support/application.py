"""A small application of its own for one test: written to a folder, run by real workers on real brokers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.drain import DrainWatch, group_inputs
from holdfast.kafka.groups import GroupAdmin, partitions_of
from holdfast.kafka.producer import Producer
from holdfast.kafka.provision import provision
from holdfast.kafka.scan import LogScanner
from holdfast.record import Message
from holdfast.runtime.launch import LaunchSettings, worker_specs
from holdfast.runtime.supervisor import Supervisor, WorkerSpec, WorkerView
from holdfast.schema import Event, EventDecoder, TopicEncoder
from holdfast.topology import Topology
from holdfast.topology.load import load
from tests.support import events
from tests.support.events import Added, Folded, Taken
from tests.support.patience import patient

FOLD = """
from holdfast import Context, State, processor
from test_events import Added, Folded, Sum, Taken

@processor
def handle(event: Added, sums: State[Sum], at: Context) -> Folded:
    before = sums.get() or Sum()
    now = Sum(count=before.count + 1, total=before.total + event.n)
    sums.set(now)
    return Folded(key=event.key, topic=at.topic, partition=at.partition, offset=at.offset,
                  n=event.n, count=now.count, total=now.total)
"""
"""A running sum per key, one output per input."""

SLOW_FOLD = FOLD.replace(
    "    before =",
    """    if not (pathlib.Path(__file__).parent / "go").exists():
        time.sleep(0.02)
    before =""",
).replace("from holdfast", "import pathlib, time\nfrom holdfast", 1)
"""The same at 50 records a second, so that a test can do something in the middle; see `Application.hurry`."""

PARTITIONS = 4
COUNTER = "counter"


@dataclass(frozen=True)
class Names:
    """Names of an application, different for every test on the same brokers.

    The topics are called after the application, since tests share the brokers.
    """

    app: str

    def topic(self, label: str) -> str:
        """The name of one of its topics."""
        return f"{self.app}.{label}"


class Application:
    """An application folder with one processor, `counter`, and its topics on the brokers.

    Args:
        folder: an empty folder for the application and its workers' data.
        servers: the brokers.
        name: the application's name; no other test's.
        handler: source of its handler module, which defines `handle`.
        inputs: events of each input, by the topic's label.
        outputs: the same for outputs.
        tables: its tables.
        topic: settings of every topic.
        kafka: client properties.
        sinks: its sinks.
        others: more processors by name, each with its keys; their handlers are in the same module, and what
            they write `counter` does not.
        options: more keys of the processor, such as `on_error`.

    Attributes:
        worker_servers: the brokers as the workers see them; a proxy's address may be put here.
    """

    def __init__(
        self,
        folder: Path,
        servers: str,
        name: str,
        *,
        handler: str = FOLD,
        inputs: Mapping[str, tuple[type[Event], ...]] | None = None,
        outputs: Mapping[str, tuple[type[Event], ...]] | None = None,
        tables: Mapping[str, str] | None = None,
        topic: Mapping[str, Any] | None = None,
        kafka: Mapping[str, Any] | None = None,
        sinks: Mapping[str, Any] | None = None,
        others: Mapping[str, Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        self.names = Names(name)
        self.servers = self.worker_servers = servers
        self.folder = folder / "app"
        self.home = folder / "home"
        self.inputs = {"adds": (Added,)} if inputs is None else dict(inputs)
        self.outputs = {"sums": (Folded,)} if outputs is None else dict(outputs)
        self._tables = {"sums": "test_events:Sum"} if tables is None else dict(tables)
        self._topic = {"partitions": PARTITIONS, "key": "key", **(topic or {})}
        self._kafka = dict(kafka or {})
        self._sinks = dict(sinks or {})
        self._others = dict(others or {})
        self._options = {"commit_interval": "50ms", "session_timeout": "2s", **options}
        self.topology = self._write(handler)

    def _write(self, handler: str) -> Topology:
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(events.__file__), self.folder / "test_events.py")
        (self.folder / "test_handler.py").write_text(handler)
        topics = {**self.inputs, **self.outputs}
        of_others = {label for keys in self._others.values() for label in keys.get("writes", ())}
        declared = {
            "app": self.names.app,
            "kafka": self._kafka,
            "sinks": self._sinks,
            "topics": {
                self.names.topic(label): {
                    "events": [f"test_events:{e.__name__}" for e in kinds],
                    **self._topic,
                }
                for label, kinds in topics.items()
            },
            "processors": {
                COUNTER: {
                    "handler": "test_handler:handle",
                    "reads": [self.names.topic(label) for label in self.inputs],
                    "writes": [self.names.topic(label) for label in self.outputs if label not in of_others],
                    "tables": self._tables,
                    **self._options,
                },
                **{name: self._of_other(keys) for name, keys in self._others.items()},
            },
        }
        file = self.folder / "topology.yaml"
        file.write_text(json.dumps(declared, indent=1))
        return load(file)

    def _of_other(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        topics = {key: list(map(self.names.topic, keys.get(key, ()))) for key in ("reads", "writes")}
        return {"commit_interval": "50ms", "session_timeout": "2s", **keys, **topics}

    # -- topics ------------------------------------------------------------------------------------

    @property
    def group(self) -> str:
        """The processor's group."""
        return self.topology.processor(COUNTER).group_id

    @property
    def changelog(self) -> str:
        """The changelog of the table `sums`."""
        return self.topology.native[COUNTER].changelog("sums")

    def slot_id(self, slot: str) -> str:
        """What the clients of the worker in a slot call themselves."""
        return self.topology.processor(COUNTER).slot_id(slot)

    def provision(self) -> None:
        """Create the topics."""
        provision(TopicAdmin(self.servers), self.topology)

    def producer(self) -> Producer:
        """A producer for the inputs."""
        encoders = [TopicEncoder(self.names.topic(label), e, "key") for label, e in self.inputs.items()]
        return Producer(encoders, self.servers, properties={"batch.size": 10_000})

    def publish(self, *published: Event, label: str | None = None) -> None:
        """Publish events and wait for their acknowledgement."""
        with self.producer() as producer:
            for event in published:
                producer.publish(event, self.names.topic(label) if label else None)

    @patient
    def read(self, label: str) -> list[Message]:
        """All committed records of a topic, in order within each partition."""
        return list(LogScanner(self.servers).topic(self.names.topic(label)))

    def records(self, label: str) -> list[tuple[Message, Any]]:
        """All committed records of a topic with their events, in order within each partition."""
        decode = EventDecoder({**self.inputs, **self.outputs}[label]).decode
        return [(m, decode(m.value(), m.headers(), m.key())) for m in self.read(label)]

    def decoded(self, label: str) -> list[Any]:
        """All committed events of a topic."""
        return [event for _, event in self.records(label)]

    @patient
    def dead_letters(self) -> list[Message]:
        """All committed dead letters."""
        return list(LogScanner(self.servers).topic(self.topology.dead_letter_topic))

    @patient
    def lag(self) -> int:
        """Records that the group has not handled, committed positions only."""
        places = partitions_of([self.names.topic(label) for label in self.inputs], self._topic["partitions"])
        with GroupAdmin(self.servers) as groups:
            state = groups.is_drained({self.group: places})
        return 0 if state.drained else sum(state.lag.values()) or 1

    @patient
    def committed(self) -> dict[tuple[str, int], int]:
        """The group's committed offsets by label and partition; those that are there."""
        places = partitions_of([self.names.topic(label) for label in self.inputs], self._topic["partitions"])
        with GroupAdmin(self.servers) as groups:
            found = groups.committed(self.group, places)
        prefix = len(self.names.topic(""))
        return {(p.topic[prefix:], p.partition): o for p, o in found.items() if o is not None}

    def reset_positions(self, note: str = "") -> None:
        """Set the group's positions to 0, as a tool of somebody else's does, while no worker runs."""
        topics, count = [self.names.topic(label) for label in self.inputs], self._topic["partitions"]
        client = Consumer({"bootstrap.servers": self.servers, "group.id": self.group})
        offsets = [ClientPartition(topic, number, 0, note) for topic in topics for number in range(count)]
        deadline = time.monotonic() + 20
        while True:
            try:
                client.commit(offsets=offsets, asynchronous=False)
                break
            except KafkaException:
                # Static members stay in the group until their session has ended.
                assert time.monotonic() < deadline, "the group still has members"
                time.sleep(0.2)
        client.close()

    # -- workers -----------------------------------------------------------------------------------

    def hurry(self, *, on: bool = True) -> None:
        """Let `SLOW_FOLD` handle records as fast as it can from now on, or no longer."""
        gate = self.folder / "go"
        gate.touch() if on else gate.unlink()

    def specs(self, slot: str = "slot", workers: int = 1, home: Path | None = None) -> tuple[WorkerSpec, ...]:
        """How its workers are started."""
        settings = LaunchSettings(self.worker_servers, home or self.home, slot, workers)
        return worker_specs(self.topology, settings)

    @contextlib.contextmanager
    def run(self, slot: str = "slot", workers: int = 1, home: Path | None = None) -> Iterator[Run]:
        """Run workers while the block lasts, then stop them in good order."""
        run = Run(self, self.specs(slot, workers, home))
        try:
            run.supervisor.start()
            yield run
        finally:
            run.stop()

    def state_folder(self, slot: str = "slot-0", partition: int | None = None) -> Path:
        """Where a worker keeps its state."""
        folder = self.home / "state" / self.names.app / COUNTER / slot
        return folder if partition is None else folder / str(partition)

    def logs(self) -> str:
        """What the workers wrote, for a failing test's report."""
        return logs_below(self.home)


def logs_below(home: Path) -> str:
    """What workers with this data folder wrote."""
    return "\n".join(
        f"--- {p.name}\n{p.read_text()}" for p in sorted(home.rglob("*.log")) if "state" not in p.parts
    )


class Watched(Protocol):
    """What `Run` has to know of an application."""

    @property
    def topology(self) -> Topology: ...

    @property
    def servers(self) -> str: ...

    def lag(self) -> int: ...

    def logs(self) -> str: ...


class Run:
    """Workers under one supervisor."""

    def __init__(self, application: Watched, specs: tuple[WorkerSpec, ...]) -> None:
        self.application = application
        self.supervisor = Supervisor(specs)
        self._stopped = False

    @property
    def views(self) -> tuple[WorkerView, ...]:
        """The workers."""
        return self.supervisor.views

    def until(
        self,
        condition: Callable[[], object],
        within: float = 30.0,
        what: str = "the condition",
        *,
        failing: bool = False,
    ) -> None:
        """Let the workers run until a condition holds.

        Args:
            condition: called again and again.
            within: seconds after which the test fails.
            what: the condition in words.
            failing: workers or shards may fail meanwhile.
        """
        deadline = time.monotonic() + within
        while not condition():
            if not failing:
                failed = [view.error or str(view.shard_failures) for view in self.supervisor.failed]
                assert not failed, f"failed: {failed}\n{self.application.logs()}"
            assert time.monotonic() < deadline, f"{what}: not within {within} s\n{self._report()}"
            self.supervisor.poll(0.05)

    def until_drained(self, within: float = 40.0) -> None:
        """Let the workers run until every input record is handled and committed; brokers may be away."""
        app, began = self.application, time.monotonic()
        with DrainWatch(app.servers, group_inputs(app.topology)) as watch:
            self.until(lambda: watch.is_drained(since=began), within, "all records handled")

    def until_running(self, shards: int = PARTITIONS, within: float = 30.0) -> None:
        """Let the workers run until together they run this many shards."""
        self.until(lambda: self.running() == shards, within, f"{shards} running shards")

    def running(self) -> int:
        """How many shards run."""
        return sum(view.status.shards.get("running", 0) for view in self.views)

    def let_run(self, seconds: float) -> None:
        """Let the workers run for a time: how long a fault lasts, never how long something takes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.supervisor.poll(min(left, 0.05))

    def pid(self, index: int = 0) -> int:
        """A worker's process, waiting until it has one."""
        self.until(lambda: self.views[index].pid, 20, "a process")
        found = self.views[index].pid
        assert found is not None
        return found

    def signal(self, number: signal.Signals, index: int = 0) -> int:
        """Send a signal to a worker and return its process."""
        pid = self.pid(index)
        os.kill(pid, number)
        return pid

    def kill(self, index: int = 0) -> None:
        """SIGKILL a worker and see that it is gone."""
        pid = self.kill_unseen(index)
        self.until(lambda: self.views[index].pid != pid, 10, "the killed worker gone")

    def kill_unseen(self, index: int = 0) -> int:
        """SIGKILL a worker and see that it is gone, before the supervisor is asked and starts the next."""
        pid = self.signal(signal.SIGKILL, index)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    def stop(self) -> None:
        """Stop the workers in good order. A second call does nothing."""
        if not self._stopped:
            self._stopped = True
            self.supervisor.stop(20)

    def _report(self) -> str:
        states = [f"{v.spec.slot}: {v.state} {v.status} restarts={v.restarts} {v.error}" for v in self.views]
        return "\n".join([*states, f"lag {self.application.lag()}", self.application.logs()[-6000:]])


ADDS = {"adds": (Added,)}
ADDS_AND_TAKES = {"adds": (Added,), "takes": (Taken,)}
