"""The service under test: brokers, and workers that live and die one by one."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.chaos.clients.output_watch import OutputWatch
from holdfast.local.cluster import EmbeddedCluster
from holdfast.runtime.supervisor import Supervisor
from tests.support.application import Application
from tests.support.events import Added

SHARDS = 6
SLOTS = 3
"""Slots that a worker may have; two of them work unless a fault says otherwise."""

_POLL_S = 0.02
_LIMIT_S = 120.0


class Lab:
    """An exactly-once running sum per key, on six partitions.

    Args:
        cluster: brokers that may be broken.
        folder: for the application and its workers' data.
        name: the application's name.
        options: keys of the processor.

    Attributes:
        began: since when the output is measured, on the monotonic clock.
    """

    def __init__(self, cluster: EmbeddedCluster, folder: Path, name: str, **options: object) -> None:
        self.cluster = cluster
        settings = {"commit_interval": "100ms", "session_timeout": "6s", **options}
        self.app = Application(
            folder, cluster.bootstrap_servers, name, topic={"partitions": SHARDS}, **settings
        )
        self.app.provision()
        self.workers: dict[int, Supervisor] = {}
        self.began = time.monotonic()
        self._copies = SHARDS * int(str(options.get("standby", 0)))
        self._specs = self.app.specs("worker", SLOTS)

    def begin(self) -> None:
        """Measure from now on; once more for faults of which only the end is measured."""
        self.began = time.monotonic()

    def watch(self, fresh_s: float) -> OutputWatch:
        """Watch the output, which is fresh when its input is so many seconds old, or fewer."""
        return OutputWatch(self.cluster.bootstrap_servers, self.app.names.topic("sums"), SHARDS, fresh_s)

    def fill(self, keys: int) -> None:
        """Give every key a state, and wait until it is there."""
        with self.app.producer() as producer:
            for number in range(keys):
                producer.publish(Added(key=f"k{number}", n=1))
        self.until(lambda: self.app.lag() == 0, "all keys have a state")

    # -- workers

    def start(self, *slots: int) -> None:
        """Start workers, and wait until every shard runs."""
        for slot in slots:
            self.workers[slot] = Supervisor([self._specs[slot]])
            self.workers[slot].start()
        self.until(self.is_whole, "every shard runs")

    def pid(self, slot: int) -> int:
        """A worker's process."""
        pid = self.workers[slot].views[0].pid
        assert pid is not None
        return pid

    def kill(self, slot: int) -> None:
        """SIGKILL a worker; its supervisor starts it again."""
        os.kill(self.pid(slot), signal.SIGKILL)

    def lose(self, slot: int) -> None:
        """SIGKILL a worker together with its supervisor: nobody starts it again."""
        self.kill(slot)
        self.workers.pop(slot).stop()

    def stop(self, slot: int) -> None:
        """End a worker in good order (SIGTERM)."""
        self.workers.pop(slot).stop()

    def start_without_state(self) -> None:
        """Begin with empty disks: what a worker restored in an earlier run would shorten the next."""
        self.stop_all()
        for slot in (0, 1):
            shutil.rmtree(self.app.state_folder(self._specs[slot].slot))
        self.start(0, 1)

    def stop_all(self) -> None:
        """End all workers."""
        for slot in list(self.workers):
            self.stop(slot)

    def running(self, slot: int) -> int:
        """How many shards a worker runs, as it last said."""
        return self.workers[slot].views[0].status.shards.get("running", 0)

    def is_whole(self) -> bool:
        """Whether the workers run all shards together, each of them some."""
        counts = [self.running(slot) for slot in self.workers]
        return sum(counts) == SHARDS and all(counts)

    def is_warm(self) -> bool:
        """Whether every standby is there, and behind in next to nothing."""
        found = [supervisor.views[0].status for supervisor in self.workers.values()]
        return sum(one.standbys for one in found) == self._copies and sum(one.behind for one in found) < 5_000

    # -- time

    def let_run(self, seconds: float) -> None:
        """Let everything run for a time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._poll()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Let everything run until a condition holds."""
        deadline = time.monotonic() + _LIMIT_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {_LIMIT_S:.0f} s\n{self.app.logs()[-4000:]}")
            self._poll()

    def _poll(self) -> None:
        if not self.workers:
            time.sleep(_POLL_S)
        for supervisor in list(self.workers.values()):
            supervisor.poll(_POLL_S)
